//! Tables that stand in a package twice: the delimited text says what the Parquet file says.
//!
//! Both have digests in the manifest, but a person reads the one and programs the other.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use arrow::array::RecordBatch;

use super::Faults;
use super::figures::open;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::export::{CsvStyle, csv_record};
use crate::model::canon;

/// The tables that a package has in both forms.
const TWICE: [&str; 2] = ["totals", "discrepancies"];

pub(super) fn check(manifest: &Manifest, faults: &mut Faults) {
    for name in TWICE {
        let file = format!("{name}.csv");
        let path = manifest.folder.join(&file);
        // What is missing was said with the digests.
        if !path.is_file() {
            continue;
        }
        let Some(compared) = faults.take(&file, compare(manifest, name, &path)) else { continue };
        if let Some(what) = compared {
            faults.say(file, what);
        }
    }
}

/// The first place at which the text is another than that of the table, in words.
fn compare(manifest: &Manifest, name: &str, path: &Path) -> Result<Option<String>> {
    let table = open(manifest, &format!("{name}.parquet"))?;
    let mut text =
        Text { from: BufReader::new(File::open(path).map_err(Error::io(path, "open"))?), record: 0 };
    let failed = || Error::io(path, "read");
    let names = table.schema().fields().iter().map(|f| Some(Cow::Borrowed(f.name().as_str())));
    if !text.goes_on(names).map_err(failed())? {
        return Ok(Some(format!("its columns are not those of {name}.parquet")));
    }
    let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
    for group in 0..table.groups() {
        let batch: RecordBatch = table.read(group, &columns, None)?;
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|c| canon::cell_text(c.as_ref(), row).map(Cow::Owned));
            if !text.goes_on(cells).map_err(failed())? {
                return Ok(Some(format!("record {} is not what {name}.parquet says", text.record - 1)));
            }
        }
    }
    let mut rest = [0; 1];
    let more = text.from.read(&mut rest).map_err(failed())? > 0;
    Ok(more.then(|| format!("it goes on after the {} records of {name}.parquet", text.record - 1)))
}

/// Delimited text on the way through a comparison.
struct Text {
    from: BufReader<File>,
    /// How many records were compared, the header included.
    record: u64,
}

impl Text {
    /// Whether the text goes on with a record of these cells, written as packages have them.
    fn goes_on<'a>(&mut self, cells: impl Iterator<Item = Option<Cow<'a, str>>>) -> std::io::Result<bool> {
        let mut expected = String::new();
        csv_record(&mut expected, cells, &CsvStyle { safe: true, ..CsvStyle::default() });
        self.record += 1;
        let mut found = Vec::with_capacity(expected.len());
        self.from.by_ref().take(expected.len() as u64).read_to_end(&mut found)?;
        Ok(found == expected.as_bytes())
    }
}
