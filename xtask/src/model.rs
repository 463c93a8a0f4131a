//! AWS's service models, as botocore ships them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::workspace;

/// The version that everything generated comes from; raise it, run `cargo xtask generate`, mend what
/// no longer compiles.
pub const BOTOCORE: &str = "1.43.11";

/// Values of enumerations that AWS sends and its models lack: model, enumeration, value.
const UNMODELLED: &[(&str, &str, &str)] = &[
    // An internet gateway's attachment; Terraform and the guides wait for it.
    ("ec2/", "AttachmentStatus", "available"),
];

#[derive(Deserialize)]
pub struct Model {
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: String,
    pub endpoint_prefix: String,
    pub signing_name: Option<String>,
    pub protocol: String,
    #[serde(default)]
    pub xml_namespace: String,
    /// Of services that speak JSON.
    #[serde(default)]
    pub json_version: String,
    /// What stands before the operation's name in `X-Amz-Target`.
    #[serde(default)]
    pub target_prefix: String,
}

#[derive(Deserialize)]
pub struct Operation {
    pub input: Option<Reference>,
    pub output: Option<Reference>,
}

/// A reference to a shape, with the facts that belong to the place rather than the shape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    pub shape: String,
    pub location: Option<String>,
    pub location_name: Option<String>,
    pub query_name: Option<String>,
    pub timestamp_format: Option<String>,
    pub xml_namespace: Option<Namespace>,
    #[serde(default)]
    pub flattened: bool,
    #[serde(default)]
    pub xml_attribute: bool,
    #[serde(default)]
    pub idempotency_token: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Namespace {
    Uri(String),
    Prefixed { prefix: Option<String>, uri: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub members: Ordered<Reference>,
    #[serde(default)]
    pub required: Vec<String>,
    pub member: Option<Reference>,
    pub key: Option<Reference>,
    pub value: Option<Reference>,
    #[serde(default, rename = "enum")]
    pub values: Vec<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub flattened: bool,
    pub timestamp_format: Option<String>,
    pub xml_namespace: Option<Namespace>,
}

/// A JSON object's entries in the order of the file.
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl Model {
    /// Reads the model at a path within botocore's data folder, as `ec2/2016-11-15`.
    pub fn load(data: &Path, path: &str) -> Result<Self> {
        let file = data.join(path).join("service-2.json.gz");
        let compressed =
            std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut text = String::new();
        GzDecoder::new(compressed.as_slice()).read_to_string(&mut text)?;
        let mut model: Self =
            serde_json::from_str(&text).with_context(|| format!("parsing {}", file.display()))?;
        for (_, name, value) in UNMODELLED.iter().filter(|(model, ..)| path.starts_with(model)) {
            if let Some(shape) = model.shapes.get_mut(*name)
                && !shape.values.iter().any(|other| other == value)
            {
                shape.values.push((*value).to_owned());
            }
        }
        Ok(model)
    }

    pub fn shape(&self, name: &str) -> Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("the model has no shape {name}"))
    }
}

/// The data folder of the pinned botocore: Python's own if it is that version, else one fetched
/// into the build folder.
pub fn botocore_data() -> Result<PathBuf> {
    let script = "import botocore; print(botocore.__version__); print(botocore.__path__[0])";
    if let Ok(output) = Command::new("python3").args(["-c", script]).output() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some((BOTOCORE, path)) = text.trim().split_once('\n') {
            return Ok(Path::new(path).join("data"));
        }
    }
    let folder = workspace::target().join(format!("botocore-{BOTOCORE}"));
    let data = folder.join("botocore/data");
    if !data.is_dir() {
        fetch(&folder)?;
    }
    Ok(data)
}

fn fetch(folder: &Path) -> Result<()> {
    let requirement = format!("botocore=={BOTOCORE}");
    let done = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
        .arg(folder)
        .arg(&requirement)
        .status();
    if !done.is_ok_and(|status| status.success()) {
        bail!(
            "botocore {BOTOCORE}, whose service models the shapes are generated from, is not here \
             and could not be fetched. Install it with: python3 -m pip install {requirement}"
        );
    }
    Ok(())
}
