//! The small experiments that methods are tried on: the `example` of their rows.

/// A small experiment as TOML: a setting, `plane` (an energy in 2-D), `ladder` (one of noise levels there) or `digits`
/// (a classifier), the method's name, and further keys of its section.
macro_rules! example {
    (@of plane) => {
        "[dataset]\nname = \"moons\"\n\n[model]\nnet = { name = \"mlp\", hidden = [8, 8], spectral_norm = true }\n\n"
    };
    (@of ladder) => {
        "[dataset]\nname = \"moons\"\n\n[model]\nname = \"ladder\"\nlevels = 6\n\
         net = { name = \"mlp\", hidden = [8, 8], spectral_norm = true }\n\n"
    };
    (@of digits) => {
        "[dataset]\nname = \"digits\"\n\n[model]\nname = \"classifier\"\n\
         net = { name = \"mlp\", hidden = [8, 8], dropout = 0.2, spectral_norm = true }\n\n"
    };
    ($setting:ident, $name:literal $(, $keys:literal)?) => {
        concat!(example!(@of $setting), "[method]\nname = \"", $name, "\"\n", $($keys)?)
    };
}
pub(super) use example;
