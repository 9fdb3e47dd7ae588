//! The layers, and the walk from them to one typed value.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, Environment, File, FileFormat, Value};
use serde::de::DeserializeOwned;

use crate::{ConfError, Origin, error, origins, secret};

/// Environment variables of this prefix are settings: `MADOGUCHI__SERVER__LISTEN` is `server.listen`.
const ENVIRONMENT_PREFIX: &str = "MADOGUCHI";
/// Between the prefix and the segments of a key.
const ENVIRONMENT_SEPARATOR: &str = "__";
/// Largest configuration file, in bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// The defaults that ship with the program.
    Shipped,
    /// The operator's file.
    File(PathBuf),
    /// An environment variable.
    Environment,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Shipped => f.write_str("shipped defaults"),
            Layer::File(path) => write!(f, "{}", path.display()),
            Layer::Environment => f.write_str("environment"),
        }
    }
}

/// What to load, the weakest layer first.
#[derive(Debug, Clone)]
pub struct Layers {
    shipped: String,
    file: Option<PathBuf>,
    environment: HashMap<String, String>,
}

impl Layers {
    /// Starts from defaults in TOML.
    pub fn new(shipped: &str) -> Layers {
        Layers { shipped: shipped.to_owned(), file: None, environment: HashMap::new() }
    }

    /// Adds the operator's TOML file; it must exist.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Layers {
        self.file = Some(path.into());
        self
    }

    /// Adds variables; those without the prefix `MADOGUCHI__` are none of ours and are passed over.
    pub fn environment(mut self, variables: HashMap<String, String>) -> Layers {
        self.environment = variables;
        self
    }

    /// Adds the process's own variables.
    pub fn process_environment(self) -> Layers {
        let prefix = format!("{ENVIRONMENT_PREFIX}{ENVIRONMENT_SEPARATOR}");
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(key, _)| key.starts_with(&prefix))
            .collect();
        self.environment(variables)
    }

    fn merge(&self) -> Result<Value, ConfError> {
        // Values of the environment stay text until their type asks otherwise: parsing them by their looks loses leading zeros.
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator(ENVIRONMENT_SEPARATOR)
            .separator(ENVIRONMENT_SEPARATOR)
            .source(Some(self.environment.clone().into_iter().collect()));
        let mut builder =
            Config::builder().add_source(File::from_str(&self.shipped, FileFormat::Toml));
        if let Some(path) = &self.file {
            check_readable(path)?;
            builder = builder.add_source(File::from(path.as_path()).format(FileFormat::Toml));
        }
        let merged = builder.add_source(environment).build();
        Ok(merged.map_err(|cause| error::of_syntax(cause, self.file.as_deref()))?.cache)
    }

    /// The layer a value's recorded origin stands for.
    pub(crate) fn layer(&self, origin: Option<&str>) -> Layer {
        match (origin, &self.file) {
            (None, _) => Layer::Shipped,
            (Some("the environment"), _) | (Some(_), None) => Layer::Environment,
            (Some(_), Some(path)) => Layer::File(path.clone()),
        }
    }
}

/// A typed value and, for each leaf of it, where it came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub value: T,
    /// Every key that was set in some layer, by its path (`server.listen`, `routes[0].tenant`).
    pub origins: BTreeMap<String, Origin>,
}

/// Loads `T` from its layers.
///
/// A table `{ secret_file = "PATH" }` stands for the text of that file, without the white space around it.
///
/// # Errors
/// [`ConfError`], always the operator's to mend: a file that cannot be read or parsed, a key that is unknown, missing or of another type.
pub fn load<T: DeserializeOwned>(layers: Layers) -> Result<Loaded<T>, ConfError> {
    let mut merged = layers.merge()?;
    let secrets = secret::resolve(&mut merged)?;
    let origins = origins::of(&merged, &secrets, &layers);
    match T::deserialize(merged.clone()) {
        Ok(value) => Ok(Loaded { value, origins }),
        Err(cause) => Err(error::of_value(cause, &merged, &layers)),
    }
}

fn check_readable(path: &Path) -> Result<(), ConfError> {
    let unreadable = |why: String| ConfError::Unreadable { path: path.to_owned(), why };
    let metadata = std::fs::metadata(path).map_err(|cause| unreadable(cause.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is no regular file".to_owned()));
    }
    if metadata.len() > FILE_MAX_BYTES {
        return Err(unreadable(format!("it is larger than {FILE_MAX_BYTES} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        server: Server,
        #[serde(default)]
        routes: Vec<Route>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Server {
        listen: std::net::SocketAddr,
        limit: u16,
        code: String,
        secret_key: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Route {
        tenant: String,
    }

    const SHIPPED: &str = "[server]\nlisten = \"127.0.0.1:1\"\nlimit = 1\ncode = \"0\"\n";

    fn with_file(
        text: &str,
        environment: &[(&str, &str)],
    ) -> (tempfile::TempDir, Result<Loaded<Settings>, ConfError>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        let variables = environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let loaded = load(Layers::new(SHIPPED).file(path).environment(variables));
        (dir, loaded)
    }

    #[test]
    fn a_stronger_layer_wins_and_is_named() {
        let (dir, loaded) = with_file(
            "[server]\nlimit = 2\n",
            &[("MADOGUCHI__SERVER__CODE", "00777"), ("PATH", "/bin")],
        );
        let loaded = loaded.unwrap();
        assert_eq!((loaded.value.server.limit, loaded.value.server.listen.port()), (2, 1));
        assert_eq!(loaded.value.server.code, "00777", "text keeps its leading zeros");
        assert_eq!(loaded.origins["server.listen"].layer, Layer::Shipped);
        assert_eq!(loaded.origins["server.limit"].layer, Layer::File(dir.path().join("node.toml")));
        assert_eq!(loaded.origins["server.code"].layer, Layer::Environment);
    }

    #[test]
    fn a_list_is_set_as_a_whole() {
        let (_dir, loaded) =
            with_file("[[routes]]\ntenant = \"a\"\n[[routes]]\ntenant = \"b\"\n", &[]);
        let tenants: Vec<_> =
            loaded.unwrap().value.routes.into_iter().map(|route| route.tenant).collect();
        assert_eq!(tenants, ["a", "b"]);
    }

    #[test]
    fn a_number_in_the_environment_is_read_by_its_type() {
        assert_eq!(
            with_file("", &[("MADOGUCHI__SERVER__LIMIT", "7")]).1.unwrap().value.server.limit,
            7
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_path_layer_and_nearest_name() {
        let (_dir, loaded) =
            with_file("[[routes]]\ntenant = \"a\"\n[[routes]]\ntennant = \"b\"\n", &[]);
        let ConfError::UnknownKey { path, layer, nearest } = loaded.unwrap_err() else {
            panic!("another error")
        };
        assert_eq!((path.as_str(), nearest.as_deref()), ("routes[1].tennant", Some("tenant")));
        assert!(matches!(layer, Layer::File(_)));

        let (_dir, loaded) = with_file("", &[("MADOGUCHI__SERVER__LIMITS", "7")]);
        let ConfError::UnknownKey { path, layer, nearest } = loaded.unwrap_err() else {
            panic!("another error")
        };
        assert_eq!(
            (path.as_str(), layer, nearest.as_deref()),
            ("server.limits", Layer::Environment, Some("limit"))
        );

        let (_dir, loaded) = with_file("entirely_elsewhere = 1", &[]);
        let ConfError::UnknownKey { path, nearest, .. } = loaded.unwrap_err() else {
            panic!("another error")
        };
        assert_eq!((path.as_str(), nearest), ("entirely_elsewhere", None));
    }

    #[test]
    fn a_wrong_type_names_path_and_layer() {
        let (_dir, loaded) = with_file("[server]\nlimit = \"many\"\n", &[]);
        let ConfError::Invalid { path, layer, .. } = loaded.unwrap_err() else {
            panic!("another error")
        };
        assert_eq!(path, "server.limit");
        assert!(matches!(layer, Layer::File(_)));
        let (_dir, loaded) = with_file("", &[("MADOGUCHI__SERVER__LISTEN", "nowhere")]);
        assert!(matches!(
            loaded.unwrap_err(),
            ConfError::Invalid { layer: Layer::Environment, .. }
        ));
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = load::<Settings>(Layers::new("[server]\nlimit = 1\ncode = \"\"")).unwrap_err();
        assert!(matches!(error, ConfError::Missing { path } if path == "server.listen"));
    }

    #[test]
    fn files_that_are_no_configuration_are_refused() {
        assert!(matches!(with_file("[server\n", &[]).1.unwrap_err(), ConfError::Syntax { .. }));
        let error =
            load::<Settings>(Layers::new(SHIPPED).file("/nonexistent/node.toml")).unwrap_err();
        assert!(matches!(error, ConfError::Unreadable { .. }));
        let error = load::<Settings>(Layers::new(SHIPPED).file("/")).unwrap_err();
        assert!(matches!(error, ConfError::Unreadable { .. }));
    }

    #[test]
    fn a_secret_comes_from_a_private_file_and_is_never_shown() {
        use std::os::unix::fs::PermissionsExt;
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("key");
        std::fs::write(&file, "CANARY0123\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[server]\nsecret_key = {{ secret_file = {:?} }}\n",
            file.display().to_string()
        );

        let (_dir, loaded) = with_file(&text, &[]);
        let loaded = loaded.unwrap();
        assert_eq!(loaded.value.server.secret_key.as_deref(), Some("CANARY0123"));
        assert!(!format!("{:?}", loaded.origins).contains("CANARY"));

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = with_file(&text, &[]).1.unwrap_err();
        assert!(matches!(&error, ConfError::Secret { path, .. } if path == "server.secret_key"));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(with_file(&text, &[]).1.unwrap_err(), ConfError::Secret { .. }));
    }

    #[test]
    fn an_inline_secret_of_the_wrong_type_is_not_quoted() {
        let (_dir, loaded) = with_file("[server]\nsecret_key = [\"CANARY\"]\n", &[]);
        assert!(!loaded.unwrap_err().to_string().contains("CANARY"));
    }
}
