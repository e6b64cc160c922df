//! Arrow IPC files and streams, checked message by message before they are read.
//!
//! The lengths in a message decide how much memory its reader asks for. So all
//! messages are walked first: none may reach beyond the file, and none may claim
//! to unpack to more than is plausible. Rows go into the spool in groups of their
//! own; dictionaries are read as their values, as every message may replace them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::{MessageHeader, root_as_footer, root_as_message};

use super::Spool;
use super::block::ROWS;
use super::columns::{first_difference, of_types, plain_schema};
use super::group::Group;
use super::guard::guarded;
use super::input::InputFile;
use super::spool::{SpoolWriter, SpooledTable};
use crate::error::{At, Error, Result};

/// The bytes that begin and end a file (as opposed to a stream).
const MAGIC: &[u8] = b"ARROW1";
/// No buffer may claim to unpack to more than so many times its size, plus a block.
const RATIO_MAX: u64 = 40_000;
/// Metadata of one message.
const METADATA_MAX: u64 = 256 << 20;

/// An Arrow table, read into the spool.
pub(crate) struct IpcTable {
    pub(crate) schema: SchemaRef,
    pub(crate) spooled: SpooledTable,
    pub(crate) groups: Vec<Group>,
}

pub(crate) fn read(files: &[InputFile], spool: &Spool) -> Result<IpcTable> {
    let mut target: Option<Target> = None;
    for (number, file) in files.iter().enumerate() {
        guarded(&file.path, || {
            let content = plain_content(file, spool)?;
            each_batch(&file.path, content, &mut |schema, batch| {
                let first = &files[0].path;
                let target = match &mut target {
                    Some(target) => target,
                    None => target.insert(Target::new(schema, spool)?),
                };
                target.check(&file.path, schema, first)?;
                batch.map_or(Ok(()), |batch| target.push(number, &batch, &file.path))
            })
        })?;
    }
    match target {
        Some(target) => {
            Ok(IpcTable { schema: target.schema, spooled: target.writer.finish()?, groups: target.groups })
        }
        None => Err(Error::NoInput { path: files.first().map(|f| f.path.clone()).unwrap_or_default() }),
    }
}

/// Where the rows of all files go.
struct Target {
    schema: SchemaRef,
    writer: SpoolWriter,
    groups: Vec<Group>,
}

impl Target {
    fn new(schema: &Schema, spool: &Spool) -> Result<Self> {
        let schema = Arc::new(plain_schema(schema));
        Ok(Self { writer: spool.create(Arc::clone(&schema))?, schema, groups: Vec::new() })
    }

    fn check(&self, path: &Path, schema: &Schema, first: &Path) -> Result<()> {
        let own = plain_schema(schema);
        let same =
            |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
        let all = own.fields().len() == self.schema.fields().len()
            && own.fields().iter().zip(self.schema.fields()).all(same);
        if all { Ok(()) } else { Err(first_difference(path, &own, first, &self.schema)) }
    }

    fn push(&mut self, file: usize, batch: &RecordBatch, path: &Path) -> Result<()> {
        let whole = of_types(batch, &self.schema).map_err(Error::arrow(path))?;
        let mut start = 0;
        while start < whole.num_rows() {
            let rows = ROWS.min(whole.num_rows() - start);
            self.writer.push(&whole.slice(start, rows))?;
            let before = self.groups.last().filter(|g| g.file == file).map_or(1, |g| g.first + g.rows as u64);
            let index = self.groups.len();
            self.groups.push(Group { file, first: before, gaps: Vec::new(), rows, index });
            start += rows;
        }
        Ok(())
    }
}

/// The file, unpacked into a temporary one if it is compressed as a whole.
fn plain_content(file: &InputFile, spool: &Spool) -> Result<File> {
    let mut start = [0; 4];
    let mut handle = file.handle()?;
    let n = handle.read(&mut start).map_err(Error::io(&file.path, "read"))?;
    handle.rewind().map_err(Error::io(&file.path, "read"))?;
    if n == 4 && (start[..2] == [0x1F, 0x8B] || start == [0x28, 0xB5, 0x2F, 0xFD]) {
        let mut copy = spool.named_file()?.into_file();
        let mut content = file.content()?;
        io::copy(&mut content, &mut copy)
            .map_err(|e| super::input::read_error(&file.path, At::default(), e))?;
        copy.rewind().map_err(Error::io(&file.path, "read"))?;
        return Ok(copy);
    }
    Ok(handle)
}

type Each<'a> = dyn FnMut(&Schema, Option<RecordBatch>) -> Result<()> + 'a;

/// Calls `each` with the schema alone, then with every batch.
fn each_batch(path: &Path, mut file: File, each: &mut Each<'_>) -> Result<()> {
    let io = || Error::io(path, "read");
    let size = file.seek(SeekFrom::End(0)).map_err(io())?;
    file.rewind().map_err(io())?;
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start).map_err(io())?;
    let wrong = |e: ArrowError| damaged(path, e.to_string());
    if start.starts_with(MAGIC) {
        check_file(path, &mut file, size)?;
        file.rewind().map_err(io())?;
        let reader = FileReader::try_new(io::BufReader::new(file), None).map_err(wrong)?;
        let schema = reader.schema();
        each(&schema, None)?;
        return reader.into_iter().try_for_each(|batch| each(&schema, Some(batch.map_err(wrong)?)));
    }
    check_stream(path, &mut file, size)?;
    file.rewind().map_err(io())?;
    let reader = StreamReader::try_new(io::BufReader::new(file), None).map_err(wrong)?;
    let schema = reader.schema();
    each(&schema, None)?;
    reader.into_iter().try_for_each(|batch| each(&schema, Some(batch.map_err(wrong)?)))
}

fn damaged(path: &Path, found: String) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        at: At::default(),
        expected: "Arrow IPC messages within the file".to_owned(),
        found,
        hint: Some("the file is cut off or damaged; fetch it again".to_owned()),
    }
}

/// Checks the blocks that the footer of a file lists.
fn check_file(path: &Path, file: &mut File, size: u64) -> Result<()> {
    let bad = |what: &str| damaged(path, what.to_owned());
    let tail = 10;
    let Some(end) = size.checked_sub(tail).filter(|end| *end >= 8) else { return Err(bad("no footer")) };
    let trailer = bytes_at(path, file, end, tail)?;
    let length = u64::from(u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]));
    if trailer[4..] != *MAGIC {
        return Err(bad("no footer at the end"));
    }
    let start = end.checked_sub(length).ok_or_else(|| bad("a footer longer than the file"))?;
    let footer = bytes_at(path, file, start, length)?;
    let footer = root_as_footer(&footer).map_err(|e| damaged(path, e.to_string()))?;
    let blocks =
        footer.dictionaries().into_iter().flatten().chain(footer.recordBatches().into_iter().flatten());
    for block in blocks {
        let parts =
            [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()].map(u64::try_from);
        let [Ok(offset), Ok(metadata), Ok(body)] = parts else { return Err(bad("a negative length")) };
        let within =
            offset.checked_add(metadata).and_then(|e| e.checked_add(body)).is_some_and(|e| e <= size);
        if !within {
            return Err(bad("a message beyond the end"));
        }
        // The reader takes the body's place from here, the checks take it from the message.
        if check_message(path, file, offset, size)? != Some(offset + metadata + body) {
            return Err(bad("a message of another length than the footer states"));
        }
    }
    Ok(())
}

/// Checks the messages of a stream up to its end.
fn check_stream(path: &Path, file: &mut File, size: u64) -> Result<()> {
    let mut at = 0;
    while at < size {
        match check_message(path, file, at, size)? {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(())
}

/// Checks the message at this place; where the next one begins, `None` at the end mark.
fn check_message(path: &Path, file: &mut File, at: u64, size: u64) -> Result<Option<u64>> {
    let bad = |what: &str| damaged(path, what.to_owned());
    let prefix = bytes_at(path, file, at, 8.min(size - at))?;
    let word = |i: usize| prefix.get(i..i + 4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    // Streams of old writers have no continuation mark before the length.
    let (length, start) = match (word(0), word(4)) {
        (Some(u32::MAX), Some(length)) => (length, at + 8),
        (Some(u32::MAX) | None, _) => return Err(bad("the beginning of a message only")),
        (Some(length), _) => (length, at + 4),
    };
    if length == 0 {
        return Ok(None);
    }
    let length = u64::from(length);
    if length > METADATA_MAX || start + length > size {
        return Err(bad("a message beyond the end"));
    }
    let metadata = bytes_at(path, file, start, length)?;
    let message = root_as_message(&metadata).map_err(|e| damaged(path, e.to_string()))?;
    let body = u64::try_from(message.bodyLength()).map_err(|_| bad("a negative length"))?;
    let end = (start + length).checked_add(body).filter(|end| *end <= size);
    let end = end.ok_or_else(|| bad("a message beyond the end"))?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => None,
    };
    if let Some(batch) = batch {
        check_batch(path, file, &batch, start + length, body)?;
    }
    Ok(Some(end))
}

/// Checks what a batch claims about its buffers and lengths; `at` is where its body begins.
fn check_batch(
    path: &Path,
    file: &mut File,
    batch: &arrow::ipc::RecordBatch<'_>,
    at: u64,
    body: u64,
) -> Result<()> {
    let bad = |what: &str| damaged(path, what.to_owned());
    let mut unpacked = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let (Ok(offset), Ok(length)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()))
        else {
            return Err(bad("a negative length"));
        };
        if offset.checked_add(length).is_none_or(|e| e > body) {
            return Err(bad("a buffer beyond its message"));
        }
        let packed = batch.compression().is_some() && length >= 8;
        let bytes = if packed { unpacked_length(path, file, at + offset, length)? } else { length };
        unpacked = unpacked.saturating_add(bytes);
    }
    // A value takes at least a bit; some columns are all null and take nothing.
    let most = unpacked.saturating_mul(8).saturating_add(1 << 20);
    let is_plausible = |n: i64| u64::try_from(n).is_ok_and(|n| n <= most);
    let nodes = batch.nodes().into_iter().flatten();
    if !is_plausible(batch.length())
        || nodes.into_iter().any(|n| !is_plausible(n.length()) || !is_plausible(n.null_count()))
    {
        return Err(bad("a batch that claims more values than its bytes can hold"));
    }
    Ok(())
}

/// The length to which a compressed buffer claims to unpack, if that is plausible.
fn unpacked_length(path: &Path, file: &mut File, at: u64, length: u64) -> Result<u64> {
    let prefix = bytes_at(path, file, at, 8)?;
    let claimed = prefix.iter().rev().fold(0_u64, |v, b| v << 8 | u64::from(*b)) as i64;
    // -1 says that the buffer is not compressed after all.
    match u64::try_from(claimed) {
        Err(_) if claimed == -1 => Ok(length),
        Ok(claimed) if claimed <= (length + 64).saturating_mul(RATIO_MAX) => Ok(claimed),
        _ => Err(damaged(path, format!("a buffer of {length} bytes that claims to unpack to {claimed}"))),
    }
}

fn bytes_at(path: &Path, file: &mut File, at: u64, length: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at)).map_err(Error::io(path, "read"))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(damaged(path, "the end of the file".to_owned()))
    }
}
