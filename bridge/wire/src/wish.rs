//! How much of the accelerator somebody wants: in a manifest, in `wrap.toml`, in the environment,
//! on a command line.

use crate::codes::wire_enum;
use crate::msg::Acceleration;

wire_enum! {
    /// What is wanted of the accelerator. Its numbers are those of `enum iotdec_accel`, in which
    /// generated code says it.
    #[derive(Default)]
    #[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
    Wish {
        /// As much as there is.
        #[default]
        Auto = 1,
        /// Nothing.
        Off = 2,
        /// Native functions, or an error.
        Native = 3,
        /// The second translator and native functions, or an error.
        Turbo = 4,
    }
}

impl Wish {
    /// As users know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Native => "native",
            Self::Turbo => "turbo",
        }
    }

    /// The wish of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Auto, Self::Off, Self::Native, Self::Turbo];
        all.into_iter().find(|wish| wish.name() == name)
    }

    /// The least that must be had; anything less is an error.
    pub const fn least(self) -> Acceleration {
        match self {
            Self::Auto | Self::Off => Acceleration::Off,
            Self::Native => Acceleration::Native,
            Self::Turbo => Acceleration::Turbo,
        }
    }
}
