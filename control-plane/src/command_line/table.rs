//! Texts for people: tables without lines, and the values in them.

use std::fmt;

use comfy_table::presets::NOTHING;
use offswitch::clock::utc;
use serde_json::Value;

/// Rows under the names of their columns.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_header(columns.iter().copied());
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().map(|cell| plain(&cell)));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in unpadded(&self.0) {
            writeln!(formatter, "{line}")?;
        }
        Ok(())
    }
}

/// One value per line, each after its name; values that are absent are left out.
pub(crate) fn fields<'a>(rows: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        if let Some(value) = value {
            table.add_row([name.to_owned(), plain(&value)]);
        }
    }
    unpadded(&table).map(|line| line + "\n").collect()
}

/// A member of an answer as text: none if it is absent, null or an empty list.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => {
            let each: Vec<String> = values.iter().filter_map(scalar).collect();
            Some(each.join(", "))
        }
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Unix seconds as a time in UTC.
pub(crate) fn moment(value: &Value) -> Option<String> {
    value.as_u64().map(utc)
}

/// What others have written does nothing to the terminal.
pub(crate) fn plain(text: &str) -> String {
    let escape = |one: char| match one.is_control() {
        true => one.escape_default().to_string(),
        false => one.to_string(),
    };
    text.chars().map(escape).collect()
}

/// The lines without the spaces at both ends.
fn unpadded(table: &comfy_table::Table) -> impl Iterator<Item = String> {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // O07: what others have named does not move the columns, nor the cursor.
    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::new(&["id", "name", "expires"]);
        table.row(["key_1".to_owned(), "日本".to_owned(), "never".to_owned()]);
        table.row(["key_22".to_owned(), "a\u{1b}[2J\n".to_owned(), String::new()]);
        let expected = "id      name          expires\n\
                        key_1   日本          never\n\
                        key_22  a\\u{1b}[2J\\n\n";
        assert_eq!(table.to_string(), expected);
        let rows =
            [("position", Some("1.2".to_owned())), ("until", None), ("by", Some("a".into()))];
        assert_eq!(fields(rows), "position  1.2\nby        a\n");
    }
}
