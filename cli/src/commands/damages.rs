//! Damage, as `verify` and `repair` tell it.

use anyhow::Result;
use serde::Serialize;
use yore_store::Damage;
use yore_terminal::output::{Bytes, Out};
use yore_terminal::text::{one_line, printable};

/// One damage as JSON.
#[derive(Serialize)]
pub struct DamageObject<'a> {
    what: &'a str,
    paths: Vec<DamagedPath<'a>>,
}

#[derive(Serialize)]
struct DamagedPath<'a> {
    #[serde(flatten)]
    path: Bytes<'a>,
    snapshot: &'a str,
}

impl<'a> From<&'a Damage> for DamageObject<'a> {
    fn from(damage: &'a Damage) -> Self {
        let damaged = |(path, snapshot): &'a (Vec<u8>, String)| DamagedPath {
            path: Bytes("path", path),
            snapshot,
        };
        DamageObject {
            what: &damage.what,
            paths: damage.paths.iter().map(damaged).collect(),
        }
    }
}

/// Each with the paths that need it.
pub fn print_damages(damages: &[Damage], out: &mut Out) -> Result<()> {
    for Damage { what, paths } in damages {
        out.line(format_args!("damaged: {}", one_line(what)))?;
        for (path, snapshot) in paths {
            out.line(format_args!("  {}:{}", one_line(snapshot), printable(path)))?;
        }
    }
    Ok(())
}
