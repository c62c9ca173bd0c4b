//! The three parts of a data set.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One of the three parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model is fitted to.
    Train,
    /// What settings and stopping times are chosen by.
    Validation,
    /// What is reported.
    Test,
}

impl Split {
    /// All three, in the order of [`ItemSpec::sizes`](crate::data::ItemSpec).
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The name used in configurations, on the command line and in random keys.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::config(format!("unknown split `{name}`")).hint("use train, validation or test");
        Split::ALL.into_iter().find(|split| split.name() == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        assert_eq!("valid".parse::<Split>().unwrap_err().exit_code(), 2);
    }
}
