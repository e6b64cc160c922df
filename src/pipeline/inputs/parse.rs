//! Text ledgers into spools: chunks decoded in parallel, stitched and taken in the order of the stream.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::stream::lacks_zone;
use super::{Intake, Parsed, Scan, take_notes};
use crate::error::Result;
use crate::ledger::{self, Carry, DecodeOptions, Decoded, Depth, Format, TableTarget, TextLedger, Texts};
use crate::pipeline::drift;
use crate::pipeline::in_order::in_order;
use crate::pipeline::progress::Progress;
use crate::plan::Dataset;
use crate::read::{InputFile, JsonChunk, Spool};

/// What is parsed, and what is known of it beforehand.
#[derive(Clone, Copy)]
pub(super) struct Parse<'a> {
    /// The datasets of the source.
    pub plans: &'a [&'a Dataset],
    /// Per dataset, the text columns that hold nothing but numbers.
    pub numbers: &'a [Vec<usize>],
    pub files: &'a [InputFile],
    pub format: Format,
    pub scan: Scan,
    pub spool: &'a Spool,
    pub progress: &'a dyn Progress,
}

/// Parses a text ledger.
pub(super) fn parse(how: Parse<'_>, targets: &[TableTarget], options: &DecodeOptions) -> Result<Parsed> {
    let Parse { plans, files, format, spool, .. } = how;
    let mut carry = Carry::new();
    let mut intakes = targets.iter().map(|t| Intake::new(&t.schema, spool)).collect::<Result<Vec<_>>>()?;
    let leave = Leave::new(how, options);
    if leave.options.is_some() {
        let text = Arc::new(TextLedger::new(files, format, targets, options));
        for (target, intake) in intakes.iter_mut().enumerate() {
            intake.spooler.leave_in(Arc::clone(&text), target, spool)?;
        }
    }
    for (number, file) in files.iter().enumerate() {
        let chunks = ledger::chunks(file, format, &plans[0].ledger.table)?;
        let decode = |chunk: &JsonChunk| leave.decode(format, chunk, targets, options);
        in_order(chunks, decode, |chunk, decoded| {
            take(how, (&mut carry, &mut intakes), number, &chunk, decoded)
        })?;
    }
    let stream = carry.finish(options);
    for note in &stream.notes {
        let path = files.get(note.file).map_or_else(PathBuf::new, |f| f.path.clone());
        take_notes(&mut intakes, plans, std::slice::from_ref(note), &path);
    }
    let positions = stream.positions.is_some();
    let mut ledgers = Vec::new();
    for (target, mut intake) in intakes.into_iter().enumerate() {
        let schema = &targets[target].schema;
        let drifts = std::mem::take(&mut intake.drift).finish(schema, positions);
        let mut read = intake.finish(positions)?;
        drift::settle(&mut read, drifts, (plans[target], schema), files);
        let lost = |&column: &usize| stream.facts.scale_lost(target, column);
        (0..targets[target].schema.len())
            .filter(lost)
            .for_each(|column| read.lanes.compare_as_number(column));
        ledgers.push(read);
    }
    Ok(Parsed { ledgers, stream })
}

/// Takes the next chunk of the stream.
fn take(
    how: Parse<'_>,
    (carry, intakes): (&mut Carry, &mut [Intake]),
    file: usize,
    chunk: &JsonChunk,
    mut decoded: Decoded,
) -> Result<()> {
    let (plans, path) = (how.plans, &how.files[file].path);
    if let Some(record) = decoded.lacks_zone {
        return Err(lacks_zone(path, record));
    }
    carry.in_file(file);
    carry.stitch(&mut decoded);
    how.progress.advance(chunk.size() as u64);
    take_notes(intakes, plans, &decoded.notes, path);
    let shapes = decoded.changes.iter().zip(&decoded.shapes);
    for (intake, (batch, shapes)) in intakes.iter_mut().zip(shapes) {
        intake.drift.observe(batch, shapes, file as u32);
    }
    let changes = decoded.changes.into_iter().enumerate();
    for (intake, (target, mut batch)) in intakes.iter_mut().zip(changes) {
        ledger::settle_words(&mut batch, &how.numbers[target]);
        let places = decoded.texts.get(target);
        let texts = places.zip(chunk.offset).map(|(places, offset)| Texts { offset, places });
        intake.take_with(batch, texts, file as u32, plans[target])?;
    }
    Ok(())
}

/// Whether images are left in the text, as long as it pays.
struct Leave {
    options: Option<DecodeOptions>,
    left: AtomicUsize,
    decoded: AtomicUsize,
}

impl Leave {
    /// Images are left where keys alone are scanned and nothing else depends on cells.
    fn new(how: Parse<'_>, options: &DecodeOptions) -> Self {
        let filtered = |plan: &&Dataset| plan.current.filter.is_some() || plan.ledger.filter.is_some();
        let possible = how.scan == Scan::Keys
            && how.format == Format::Debezium
            && how.numbers.iter().all(Vec::is_empty)
            && !how.plans.iter().any(filtered);
        let options = possible.then(|| DecodeOptions { depth: Depth::Keys, ..options.clone() });
        Self { options, left: AtomicUsize::new(0), decoded: AtomicUsize::new(0) }
    }

    fn decode(
        &self,
        format: Format,
        chunk: &JsonChunk,
        targets: &[TableTarget],
        options: &DecodeOptions,
    ) -> Decoded {
        let keys = self.options.as_ref().filter(|_| chunk.offset.is_some() && self.pays());
        let decoded = ledger::decode(format, chunk, targets, keys.unwrap_or(options));
        let count = if decoded.texts.is_empty() { &self.decoded } else { &self.left };
        count.fetch_add(1, Ordering::Relaxed);
        decoded
    }

    /// A chunk whose images cannot be left may have been looked through for nothing.
    fn pays(&self) -> bool {
        self.decoded.load(Ordering::Relaxed) <= 4 + self.left.load(Ordering::Relaxed)
    }
}
