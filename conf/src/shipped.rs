//! The files that ship inside the program.

/// One shipped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name without the extension.
    pub name: &'static str,
    /// Its text, TOML.
    pub text: &'static str,
}

/// A node's defaults: the weakest layer.
pub const DEFAULTS: &str = include_str!("../madoguchi.toml");

/// Profiles of secure elements, one SE profile each.
pub const SE_PROFILES: &[Shipped] = &[
    Shipped { name: "uicc-scp03-i70", text: include_str!("../profiles/uicc-scp03-i70.toml") },
    Shipped { name: "uicc-scp03-i60", text: include_str!("../profiles/uicc-scp03-i60.toml") },
    Shipped { name: "uicc-scp03-i10", text: include_str!("../profiles/uicc-scp03-i10.toml") },
    Shipped { name: "uicc-scp03-i00", text: include_str!("../profiles/uicc-scp03-i00.toml") },
];

/// Services, one service profile each.
pub const SERVICES: &[Shipped] = &[Shipped {
    name: "jpki-user-authentication",
    text: include_str!("../services/jpki-user-authentication.toml"),
}];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_files_are_toml_and_carry_their_own_name() {
        DEFAULTS.parse::<toml::Table>().unwrap();
        for shipped in SE_PROFILES.iter().chain(SERVICES) {
            let table = shipped.text.parse::<toml::Table>().unwrap();
            assert_eq!(table["name"].as_str(), Some(shipped.name));
        }
    }
}
