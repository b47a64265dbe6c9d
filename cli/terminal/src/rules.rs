//! The rules of keeping as options of a command.

use clap::Args;
use yore_store::{Policy, Within};

/// The rules that a command line gives.
#[derive(Args, Clone, Debug)]
pub struct Rules {
    /// Keep this many of the newest
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_last: u32,
    /// Keep the newest of each of this many hours
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_hourly: u32,
    /// Keep the newest of each of this many days
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_daily: u32,
    /// Keep the newest of each of this many weeks
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_weekly: u32,
    /// Keep the newest of each of this many months
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_monthly: u32,
    /// Keep the newest of each of this many years
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    keep_yearly: u32,
    /// Keep all that are younger than this, counted back from the newest: 30d, 2w, 6m, 1y5m7d2h
    #[arg(long, value_name = "TIME")]
    keep_within: Option<Within>,
}

impl Rules {
    /// The options, as clap calls them: what they cannot be given with may be said.
    pub const OPTIONS: [&str; 7] = [
        "keep_last",
        "keep_hourly",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "keep_within",
    ];

    /// The rules as the store judges by them; no tags, and every snapshot counts.
    pub fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
            tags: Vec::new(),
            interval: None,
        }
    }
}
