//! Configuration in layers: shipped < file < environment.
//!
//! Promised: every value remembers the layer it came from; a key nobody knows is refused with its full path, its layer and the nearest
//! known name; a secret is read from a file that its owner alone can read and never appears in an error or in [`Origin::shown`].
//! Not promised: what the keys mean. The loader knows none of the settings' types; bounds are the business of whoever owns them.
//!
//! ```
//! use std::collections::HashMap;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings { port: u16 }
//!
//! let environment = HashMap::from([("MADOGUCHI__PORT".to_owned(), "9000".to_owned())]);
//! let layers = conf::Layers::new("port = 8443").environment(environment);
//! let loaded = conf::load::<Settings>(layers)?;
//! assert_eq!(loaded.value.port, 9000);
//! assert_eq!(loaded.origins["port"].layer, conf::Layer::Environment);
//! # Ok::<(), conf::ConfError>(())
//! ```

#![forbid(unsafe_code)]

mod error;
mod layers;
mod nearest;
mod origins;
mod secret;
pub mod shipped;

pub use error::ConfError;
pub use layers::{Layer, Layers, Loaded, load};
pub use origins::Origin;
