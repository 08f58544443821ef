//! The job systems that Beatwarden knows, compiled in from `config/presets`.
//!
//! Owns the list of names; what a preset's keys mean is in `keys`.

/// Every preset: its name and its text, written like a `[[watch]]` without name and database.
pub(super) const PRESETS: &[(&str, &str)] = &[("meltano", include_str!("../../config/presets/meltano.toml"))];

/// The names of all presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// What people call the application that writes a table, by the preset in force.
pub fn writer_of(preset: Option<&str>) -> &'static str {
    match preset {
        Some("meltano") => "Meltano",
        _ => "the application",
    }
}

/// The text of a preset.
pub(super) fn text_of(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
