//! The networks of an experiment as lists of layers and as tables: for `show --net` and `check`.

use serde_json::{Value, json};

use super::output;
use crate::config::{Document, Resolved, Section, SectionKind};
use crate::metrics::Unit;
use crate::nets::{Io, NETS, NamedNet, Outline, outline, schemas};
use crate::run::show;
use crate::{Error, Result};

/// A network with its layers.
pub struct Listed {
    network: NamedNet,
    /// The header of its section in the configuration, where it has one.
    header: Option<String>,
    outline: Outline,
}

/// Items that a network is shown for when nobody says which: the first that it takes.
const USUAL: [(&[usize], &[usize]); 4] =
    [(&[2], &[]), (&[3, 32, 32], &[]), (&[128], &[3, 32, 32]), (&[3, 32, 32], &[3, 32, 32])];

impl Listed {
    /// The networks of an experiment.
    ///
    /// # Errors
    /// One that no list of layers can name.
    pub fn all(networks: &[NamedNet], config: &Resolved) -> Result<Vec<Listed>> {
        let mut headers = Vec::new();
        find_headers(&config.0, "", &mut headers);
        let listed = |network: &NamedNet| {
            let section = if network.name.starts_with("model.") { "model." } else { "method." };
            let named =
                |(path, table): &(String, toml::Table)| path.starts_with(section) && *table == network.spec.table;
            let mine = headers.iter().position(named);
            let header = mine.map(|i| headers.remove(i).0);
            Ok(Listed { network: network.clone(), header, outline: outline(&network.spec, &network.io)? })
        };
        networks.iter().map(listed).collect()
    }

    /// The network `name` of the registry with its defaults and what `sets` says of the section `[net]`; for `items` of
    /// this shape, `made` into that one, or for the first usual ones that it takes.
    ///
    /// # Errors
    /// Keys that are wrong, shapes that do not fit.
    pub fn of_name(name: &str, sets: &[String], items: Option<&[usize]>, made: Option<&[usize]>) -> Result<Listed> {
        let document = Document::from_str(name, &format!("[net]\nname = \"{name}\"\n"), sets)?;
        let kind = SectionKind::Named { rows: schemas, default: None };
        let spec = document.resolve(&[Section { key: "net", kind }])?.spec("net");
        let usual = USUAL.iter().filter(|_| items.is_none()).copied();
        let given = items.into_iter().flat_map(|items| [(items, [].as_slice()), (items, items)]);
        let tried = given.into_iter().chain(usual).map(|(input, output)| {
            let io = Io { input: input.to_vec(), output: made.unwrap_or(output).to_vec() };
            let outline = outline(&spec, &io)?;
            Ok(Listed { network: NamedNet { name: name.to_owned(), spec: spec.clone(), io }, header: None, outline })
        });
        let mut refused = None;
        for tried in tried {
            match tried {
                Ok(listed) => return Ok(listed),
                // Of shapes that were given, the first are meant.
                Err(error) if items.is_none() || refused.is_none() => refused = Some(error),
                Err(_) => {}
            }
        }
        Err(document.placed(refused.unwrap_or_else(|| Error::Other("no shapes to try".into())), true))
    }

    /// Its name, what it reads and makes, and how large it is.
    fn title(&self) -> String {
        let (Io { input, output }, outline) = (&self.network.io, &self.outline);
        let makes = if output.is_empty() { "one number".to_owned() } else { format!("{output:?}") };
        let count = |n: usize, one: &str| show::counted(n as u64, one);
        format!(
            "{}: {input:?} to {makes}, {}, {} an item",
            self.network.name,
            count(outline.parameters(), "parameter"),
            count(outline.multiplications(), "multiplication"),
        )
    }

    /// A line for each layer, or for those in no block.
    fn table(&self, blocks: bool) -> String {
        let count = |n: usize| show::value(Unit::Count, n as f64, 0);
        let head = ["", "layer", "makes", "parameters", "multiplications"].map(str::to_owned).to_vec();
        let lines = self.outline.lines.iter().filter(|line| blocks || !line.place.contains('.'));
        let row = |line: &crate::nets::LayerLine| {
            let (place, item) = (line.place.clone(), format!("{:?}", line.item));
            vec![place, line.name.clone(), item, count(line.parameters), count(line.multiplications)]
        };
        output::table(&std::iter::once(head).chain(lines.map(row)).collect::<Vec<_>>())
    }

    /// The section of a `sequential` network that computes the same, with the table in its comments.
    pub fn document(&self) -> String {
        let said = format!("{}\n\n{}", self.title(), self.table(true));
        let comments: String = said.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
        let header = self.header.iter().map(|header| format!("[{header}]\n")).collect::<String>();
        format!("{comments}{header}{}", self.outline.to_toml())
    }

    /// The table of the layers in no block, moved in.
    pub fn short(&self) -> String {
        let table: String = self.table(false).lines().map(|line| format!("    {line}\n")).collect();
        format!("  {}\n{table}", self.title())
    }

    /// All of it as JSON.
    pub fn json(&self) -> Value {
        let Listed { network, header, outline } = self;
        json!({
            "name": network.name, "section": header, "input": network.io.input, "output": network.io.output,
            "parameters": outline.parameters(), "multiplications": outline.multiplications(),
            "lines": outline.lines, "network": outline.spec,
        })
    }
}

/// Every table below `table` that names a network, with its path.
fn find_headers(table: &toml::Table, path: &str, found: &mut Vec<(String, toml::Table)>) {
    for (key, below) in table.iter().filter_map(|(key, value)| Some((key, value.as_table()?))) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let named = below.get("name").and_then(toml::Value::as_str);
        if named.is_some_and(|name| NETS.iter().any(|row| row.name == name)) {
            found.push((path.clone(), below.clone()));
        }
        find_headers(below, &path, found);
    }
}
