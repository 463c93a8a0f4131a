//! The catalogue of instance types, from the data that moto ships (Apache-2.0).

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Map, Value};

use crate::model::{self, Model};
use crate::workspace;

/// The version that the data comes from; raise it and run `cargo xtask catalogue`.
pub const MOTO: &str = "5.2.5";

/// Where the catalogue is kept: gzipped JSON, one list of types in the order of their names.
fn path() -> PathBuf {
    workspace::root().join("control/ec2/data/instance_types.json.gz")
}

/// Writes the catalogue.
pub fn write() -> Result<()> {
    let json = catalogue()?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&json)?;
    let bytes = encoder.finish()?;
    let path = path();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// The catalogue's JSON: what moto keeps by name, as a list without white space.
fn catalogue() -> Result<Vec<u8>> {
    let source = moto()?.join("ec2/resources/instance_types.json.gz");
    let types: Map<String, Value> = serde_json::from_slice(&unzip(&source)?)?;
    let mut sorted: std::collections::BTreeMap<String, Value> = types.into_iter().collect();
    let model = Model::load(&model::botocore_data()?, "ec2/2016-11-15")?;
    for (name, info) in &mut sorted {
        // The data may be newer than the model.
        keep_modelled(&model, "InstanceTypeInfo", info)?;
        let own = info.get("InstanceType").and_then(Value::as_str);
        ensure!(own == Some(name), "the type {name} calls itself {own:?}");
    }
    Ok(serde_json::to_vec(&sorted.into_values().collect::<Vec<_>>())?)
}

/// Drops the members and values that the model doesn't know; says whether the value itself may
/// stay. The name of an instance type stays: there it is a text.
fn keep_modelled(model: &Model, shape_name: &str, value: &mut Value) -> Result<bool> {
    let shape = model.shape(shape_name)?;
    match value {
        Value::Object(members) => {
            let mut failed = None;
            members.retain(|name, value| {
                let known = shape.members.0.iter().find(|(known, _)| known == name);
                known.is_some_and(|(_, member)| {
                    keep_modelled(model, &member.shape, value).unwrap_or_else(|error| {
                        failed = Some(error);
                        false
                    })
                })
            });
            failed.map_or(Ok(true), Err)
        }
        Value::Array(elements) => {
            let element =
                shape.member.as_ref().with_context(|| format!("{shape_name}: no list"))?;
            let mut kept = Vec::new();
            for mut value in std::mem::take(elements) {
                if keep_modelled(model, &element.shape, &mut value)? {
                    kept.push(value);
                }
            }
            *elements = kept;
            Ok(true)
        }
        Value::String(text) => {
            let free = shape.values.is_empty() || shape_name == "InstanceType";
            Ok(free || shape.values.contains(text))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(true),
    }
}

fn unzip(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The folder of the pinned moto.
fn moto() -> Result<PathBuf> {
    let script = "import moto, os; print(moto.__version__); print(os.path.dirname(moto.__file__))";
    let output = Command::new("python3").args(["-c", script]).output().context("python3")?;
    let hint = format!("install it: python3 -m pip install moto=={MOTO}");
    ensure!(output.status.success(), "python3 has no moto; {hint}");
    let text = String::from_utf8(output.stdout)?;
    match text.lines().collect::<Vec<_>>().as_slice() {
        [MOTO, folder] => Ok(PathBuf::from(folder)),
        [other, _] => bail!("python3 has moto {other}, not {MOTO}; {hint}"),
        _ => bail!("python3 said something else than moto's version and folder"),
    }
}
