//! The section `[retention]` as it stands in the file.

use serde::Deserialize;
use yore_store::Within;

use super::Retention;
use crate::retention::Keep;
use crate::units::{Seconds, from_text_if_any};

/// All keys side by side: serde's own flattening would lose the lines of errors.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Section {
    keep_last: u32,
    keep_hourly: u32,
    keep_daily: u32,
    keep_weekly: u32,
    keep_monthly: u32,
    keep_yearly: u32,
    #[serde(deserialize_with = "from_text_if_any")]
    keep_within: Option<Within>,
    interval: Seconds,
}

impl Default for Section {
    fn default() -> Self {
        let Retention { keep, interval } = Retention::default();
        Section {
            keep_last: keep.keep_last,
            keep_hourly: keep.keep_hourly,
            keep_daily: keep.keep_daily,
            keep_weekly: keep.keep_weekly,
            keep_monthly: keep.keep_monthly,
            keep_yearly: keep.keep_yearly,
            keep_within: keep.keep_within,
            interval,
        }
    }
}

impl From<Section> for Retention {
    fn from(section: Section) -> Self {
        Retention {
            keep: Keep {
                keep_last: section.keep_last,
                keep_hourly: section.keep_hourly,
                keep_daily: section.keep_daily,
                keep_weekly: section.keep_weekly,
                keep_monthly: section.keep_monthly,
                keep_yearly: section.keep_yearly,
                keep_within: section.keep_within,
            },
            interval: section.interval,
        }
    }
}
