//! Time zones by name.

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::error::nearest;

/// The time zone of this name, such as `Europe/Berlin`.
///
/// # Errors
/// What to write instead, as a hint: the nearest name, or examples.
///
/// ```
/// assert!(asof::plan::parse_zone("Europe/Berlin").is_ok());
/// assert_eq!(asof::plan::parse_zone("Europe/Berln").unwrap_err(), "did you mean Europe/Berlin?");
/// ```
pub fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse().or_else(|_| {
        let same = |zone: &&Tz| zone.name().eq_ignore_ascii_case(name);
        if let Some(zone) = TZ_VARIANTS.iter().find(same) {
            return Ok(*zone);
        }
        Err(match nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(near) => format!("did you mean {near}?"),
            None => "write a name such as UTC, Europe/Berlin or America/New_York".to_owned(),
        })
    })
}
