//! A table as an Arrow IPC file, one batch per row group.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;

use crate::error::{Error, Result};
use crate::snapshot::GroupSource;

pub(super) fn write(
    source: &dyn GroupSource,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let failed = || Error::arrow(path);
    let mut writer = FileWriter::try_new(BufWriter::new(file), source.schema()).map_err(failed())?;
    for group in 0..source.groups() {
        let columns = (0..source.schema().fields().len())
            .map(|c| source.column(group, c))
            .collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(source.schema()), columns).map_err(failed())?;
        writer.write(&batch).map_err(failed())?;
        done(source.rows(group) as u64);
    }
    writer.finish().map_err(failed())?;
    Ok(())
}
