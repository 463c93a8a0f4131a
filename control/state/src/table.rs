//! Tables of rows with secondary indexes, as persistent maps: a clone shares all that is equal.

use immutable_chunkmap::{map::MapS, set::SetS};
use serde::{Serialize, de::DeserializeOwned};
use smol_str::SmolStr;
use std::{
    any::{Any, TypeId},
    collections::{HashMap, HashSet},
    fmt::{Debug, Display},
    sync::Arc,
};
use types::Scope;

/// A row of a table: one resource.
pub trait Row:
    Debug + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The table's name, for ever: stored rows carry it.
    const TABLE: &'static str;
    /// Whether rows hold secrets: stores keep them encrypted.
    const SEALED: bool = false;
    /// What finds the row; unique in the table.
    type Key: Debug + Clone + Ord + Display + Send + Sync + 'static;

    /// The row's key.
    fn key(&self) -> Self::Key;

    /// Where the row lives; none for what belongs to no account and region.
    fn scope(&self) -> Option<&Scope>;

    /// Calls `add` with each secondary index and the row's value in it.
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        let _ = add;
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Table<R: Row> {
    pub(crate) rows: MapS<R::Key, Arc<R>>,
    index: MapS<SmolStr, SetS<R::Key>>,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: MapS::new(), index: MapS::new() }
    }
}

/// The name of the index that holds each row's scope.
const SCOPE: &str = "scope";

fn entry(name: &str, value: &dyn Display) -> SmolStr {
    smol_str::format_smolstr!("{name}\0{value}")
}

fn scope_entry(scope: &Scope) -> SmolStr {
    smol_str::format_smolstr!("{SCOPE}\0{}\0{}", scope.account, scope.region)
}

impl<R: Row> Table<R> {
    fn entries(row: &R) -> Vec<SmolStr> {
        let mut entries = Vec::new();
        if let Some(scope) = row.scope() {
            entries.push(scope_entry(scope));
        }
        row.indexes(&mut |name, value| entries.push(entry(name, value)));
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    fn unindex(&mut self, entry: &SmolStr, key: &R::Key) {
        let emptied = match self.index.get_mut_cow(entry) {
            Some(keys) => {
                keys.remove_cow(key);
                keys.len() == 0
            }
            None => false,
        };
        if emptied {
            self.index.remove_cow(entry);
        }
    }

    pub(crate) fn put(&mut self, row: Arc<R>) {
        let key = row.key();
        let new = Self::entries(&row);
        let old = self.rows.insert_cow(key.clone(), row).map(|row| Self::entries(&row));
        let old = old.unwrap_or_default();
        for entry in old.iter().filter(|entry| new.binary_search(entry).is_err()) {
            self.unindex(entry, &key);
        }
        for entry in new.into_iter().filter(|entry| old.binary_search(entry).is_err()) {
            self.index.get_or_insert_cow(entry, SetS::new).insert_cow(key.clone());
        }
    }

    pub(crate) fn delete(&mut self, key: &R::Key) -> Option<Arc<R>> {
        let row = self.rows.remove_cow(key)?;
        for entry in Self::entries(&row) {
            self.unindex(&entry, key);
        }
        Some(row)
    }

    fn find<'a>(&'a self, entry: &SmolStr) -> impl Iterator<Item = &'a Arc<R>> + use<'a, R> {
        self.index.get(entry).into_iter().flatten().filter_map(|key| self.rows.get(key))
    }
}

trait AnyTable: Any + Debug + Send + Sync {
    fn clone_table(&self) -> Arc<dyn AnyTable>;
    fn load(&mut self, value: &[u8]) -> Result<(), serde_json::Error>;
    fn rows(&self) -> usize;
}

impl<R: Row> AnyTable for Table<R> {
    fn clone_table(&self) -> Arc<dyn AnyTable> {
        Arc::new(self.clone())
    }
    fn load(&mut self, value: &[u8]) -> Result<(), serde_json::Error> {
        self.put(Arc::new(serde_json::from_slice(value)?));
        Ok(())
    }
    fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// A table's definition; made by [`table`].
#[derive(Debug, Clone, Copy)]
pub struct TableDef {
    /// The table's name.
    pub name: &'static str,
    sealed: bool,
    row: TypeId,
    new: fn() -> Arc<dyn AnyTable>,
}

/// The definition of this row's table.
#[must_use]
pub fn table<R: Row>() -> TableDef {
    TableDef {
        name: R::TABLE,
        sealed: R::SEALED,
        row: TypeId::of::<R>(),
        new: || Arc::new(Table::<R>::default()),
    }
}

/// All tables at one revision. Cloning is cheap; a clone never changes.
#[derive(Debug, Clone)]
pub struct State {
    revision: u64,
    names: Arc<HashMap<&'static str, TypeId>>,
    sealed: Arc<HashSet<&'static str>>,
    tables: HashMap<TypeId, Arc<dyn AnyTable>>,
}

impl State {
    /// Empty tables at revision 0.
    #[must_use]
    pub fn new(tables: &[TableDef]) -> Self {
        Self {
            revision: 0,
            names: Arc::new(tables.iter().map(|def| (def.name, def.row)).collect()),
            sealed: Arc::new(tables.iter().filter(|def| def.sealed).map(|def| def.name).collect()),
            tables: tables.iter().map(|def| (def.row, (def.new)())).collect(),
        }
    }

    /// Counts the commits that led here.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Adds a stored row.
    ///
    /// # Errors
    /// The table is unknown or the value is not one of its rows: the store is of another version.
    pub fn load(&mut self, table: &str, value: &[u8]) -> Result<(), crate::StoreError> {
        let wrong = |why: String| crate::StoreError::Corrupt(format!("table {table}: {why}"));
        let id = self.names.get(table).ok_or_else(|| wrong("unknown".to_owned()))?;
        let slot = self.tables.get_mut(id).ok_or_else(|| wrong("unknown".to_owned()))?;
        let loaded = unshared(slot).load(value);
        loaded.map_err(|error| wrong(error.to_string()))
    }

    /// Whether stores keep the rows of this table encrypted.
    #[must_use]
    pub fn is_sealed(&self, table: &str) -> bool {
        self.sealed.contains(table)
    }

    /// Sets the revision of what was loaded.
    pub fn loaded(&mut self, revision: u64) {
        self.revision = revision;
    }

    pub(crate) fn table<R: Row>(&self) -> Option<&Table<R>> {
        let table: &dyn Any = self.tables.get(&TypeId::of::<R>())?.as_ref();
        let table = table.downcast_ref();
        debug_assert!(table.is_some(), "table {} is not registered", R::TABLE);
        table
    }

    pub(crate) fn table_mut<R: Row>(&mut self) -> Option<&mut Table<R>> {
        let slot = self.tables.get_mut(&TypeId::of::<R>());
        debug_assert!(slot.is_some(), "table {} is not registered", R::TABLE);
        let table: &mut dyn Any = unshared(slot?);
        table.downcast_mut()
    }

    /// The row with this key.
    #[must_use]
    pub fn get<R: Row>(&self, key: &R::Key) -> Option<&Arc<R>> {
        self.table::<R>()?.rows.get(key)
    }

    /// All rows in key order.
    pub fn iter<R: Row>(&self) -> impl Iterator<Item = &Arc<R>> {
        self.table::<R>().into_iter().flat_map(|table| &table.rows).map(|(_, row)| row)
    }

    /// The rows of a scope in key order.
    pub fn in_scope<'a, R: Row>(
        &'a self,
        scope: &Scope,
    ) -> impl Iterator<Item = &'a Arc<R>> + use<'a, R> {
        let entry = scope_entry(scope);
        self.table::<R>().into_iter().flat_map(move |table| table.find(&entry))
    }

    /// How many rows a scope has; unlike counting [`Self::in_scope`], it doesn't look at them.
    #[must_use]
    pub fn count_in_scope<R: Row>(&self, scope: &Scope) -> usize {
        let entry = scope_entry(scope);
        self.table::<R>().and_then(|table| table.index.get(&entry)).map_or(0, SetS::len)
    }

    /// The rows that have this value in the named index, in key order.
    pub fn find<'a, R: Row>(
        &'a self,
        index: &'static str,
        value: impl Display,
    ) -> impl Iterator<Item = &'a Arc<R>> {
        let entry = entry(index, &value);
        self.table::<R>().into_iter().flat_map(move |table| table.find(&entry))
    }

    /// How many rows the row's table has.
    #[must_use]
    pub fn count<R: Row>(&self) -> usize {
        self.table::<R>().map_or(0, AnyTable::rows)
    }
}

fn unshared(slot: &mut Arc<dyn AnyTable>) -> &mut dyn AnyTable {
    if Arc::get_mut(slot).is_none() {
        *slot = slot.clone_table();
    }
    match Arc::get_mut(slot) {
        Some(table) => table,
        None => unreachable!("a fresh clone has one owner"),
    }
}
