//! A schema as both backends can be asked for it.

use std::collections::{BTreeMap, BTreeSet};

/// The tables by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema(pub BTreeMap<String, Table>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// In their order.
    pub columns: Vec<Column>,
    pub keys: BTreeSet<Key>,
    /// Those that have a name.
    pub indexes: BTreeMap<String, Index>,
    pub references: BTreeSet<Reference>,
    /// How many: the texts of two dialects cannot be compared.
    pub checks: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub is_nullable: bool,
    pub default: Option<String>,
    /// The database gives the next number when none is given.
    pub is_numbered: bool,
}

/// What a value of a column is to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Text,
    Bytes,
}

/// A primary key, or a UNIQUE in a table's definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub is_primary: bool,
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub is_unique: bool,
    pub is_partial: bool,
    /// [`EXPRESSION`] where it is none.
    pub columns: Vec<String>,
}

/// In place of a column's name.
pub const EXPRESSION: &str = "(expression)";

/// A foreign key of one column, as all of ours are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub from: String,
    pub table: String,
    pub to: String,
    pub on_delete: String,
}

impl Schema {
    #[track_caller]
    pub fn table(&mut self, name: &str) -> &mut Table {
        self.0.get_mut(name).unwrap_or_else(|| panic!("no table {name}"))
    }

    #[track_caller]
    pub fn index(&mut self, table: &str, name: &str) -> &mut Index {
        self.table(table).indexes.get_mut(name).unwrap_or_else(|| panic!("no index {name}"))
    }

    /// The primary key of a table gets this column more.
    #[track_caller]
    pub fn extend_primary_key(&mut self, table: &str, column: &str) {
        let keys = &mut self.table(table).keys;
        let mut key = keys.iter().find(|key| key.is_primary).expect("every table has one").clone();
        keys.remove(&key);
        key.columns.push(column.into());
        keys.insert(key);
    }
}

impl Schema {
    /// What only several nodes need.
    pub fn add_tables_of_nodes(&mut self) {
        let numbers = ["boot", "started_ms", "seen_ms"];
        self.add("nodes", &["boot", "name", "version", "started_ms", "seen_ms"], &numbers);
        self.add("epochs", &["name", "value"], &["value"]);
    }

    /// A table whose first column is its key and whose columns are all given, as numbers or texts.
    fn add(&mut self, name: &str, columns: &[&str], numbers: &[&str]) {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            kind: if numbers.contains(name) { Kind::Integer } else { Kind::Text },
            is_nullable: false,
            default: None,
            is_numbered: false,
        };
        let key = Key { is_primary: true, columns: vec![columns[0].to_owned()] };
        let table = Table {
            columns: columns.iter().map(column).collect(),
            keys: BTreeSet::from([key]),
            ..Table::default()
        };
        self.0.insert(name.to_owned(), table);
    }
}
