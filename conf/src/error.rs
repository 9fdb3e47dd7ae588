//! What can be wrong with a configuration, each with the key and the layer to mend.

use std::path::{Path, PathBuf};

use config::{ConfigError, Value};

use crate::{Layer, Layers, nearest, origins};

/// A configuration that was refused. Nothing was changed by the attempt to load it.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The file cannot be read.
    #[error("configuration file {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        why: String,
    },
    /// A layer is no TOML.
    #[error("{layer} is not valid TOML: {why}")]
    Syntax {
        /// The layer.
        layer: Layer,
        /// Line, column and what was expected there.
        why: String,
    },
    /// No setting has this name.
    #[error("unknown key `{path}` in {layer}{}", hint(nearest))]
    UnknownKey {
        /// The whole path of the key.
        path: String,
        /// The layer that sets it.
        layer: Layer,
        /// The known name it may have been meant for.
        nearest: Option<String>,
    },
    /// A setting without a default is in no layer.
    #[error("missing key `{path}`: set it in the file or in the environment")]
    Missing {
        /// The whole path of the key.
        path: String,
    },
    /// A value does not fit its setting.
    #[error("key `{path}` in {layer}: {why}")]
    Invalid {
        /// The whole path of the key.
        path: String,
        /// The layer that sets it.
        layer: Layer,
        /// What was expected.
        why: String,
    },
    /// A secret's file cannot be used.
    #[error("secret of `{path}` from {}: {why}", file.display())]
    Secret {
        /// The key the secret is for.
        path: String,
        /// The file named.
        file: PathBuf,
        /// Why it was refused.
        why: String,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// An error of reading or merging the layers.
pub(crate) fn of_syntax(cause: ConfigError, file: Option<&Path>) -> ConfError {
    match cause {
        ConfigError::FileParse { uri, cause } => {
            let layer = match (uri, file) {
                (Some(_), Some(path)) => Layer::File(path.to_owned()),
                _ => Layer::Shipped,
            };
            ConfError::Syntax { layer, why: cause.to_string() }
        }
        other => ConfError::Syntax { layer: Layer::Environment, why: other.to_string() },
    }
}

/// An error of turning the merged layers into the settings' types.
pub(crate) fn of_value(cause: ConfigError, merged: &Value, layers: &Layers) -> ConfError {
    let (parent, fault) = unwrap(cause);
    let layer_of = |path: &str| layers.layer(origins::origin_at(merged, path).as_deref());
    match fault {
        Fault::Missing(path) => ConfError::Missing { path },
        Fault::Mismatch(expected) => ConfError::Invalid {
            layer: layer_of(&parent),
            path: parent,
            why: format!("expected {expected}"),
        },
        Fault::Message(message) => match nearest::unknown_field(&message) {
            Some((key, nearest)) => {
                let path = if parent.is_empty() { key } else { format!("{parent}.{key}") };
                ConfError::UnknownKey { layer: layer_of(&path), path, nearest }
            }
            None => {
                // serde quotes the value it dislikes: a key that may hold key material must not be quoted.
                let why = if origins::may_be_secret(&parent) {
                    "the value does not fit".to_owned()
                } else {
                    message
                };
                ConfError::Invalid { layer: layer_of(&parent), path: parent, why }
            }
        },
    }
}

enum Fault {
    Missing(String),
    Mismatch(&'static str),
    Message(String),
}

/// The path an error happened under, and the error itself.
fn unwrap(cause: ConfigError) -> (String, Fault) {
    match cause {
        ConfigError::At { error, key, .. } => {
            let (inner, fault) = unwrap(*error);
            (key.unwrap_or(inner), fault)
        }
        ConfigError::Type { expected, key, .. } => {
            (key.unwrap_or_default(), Fault::Mismatch(expected))
        }
        ConfigError::NotFound(path) => (String::new(), Fault::Missing(path)),
        other => (String::new(), Fault::Message(other.to_string())),
    }
}
