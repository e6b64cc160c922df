//! Changes whose images can be left in the text at sight: most records of most ledgers.
//!
//! Every column of the table is stated by an object laid out as an earlier one, and every cell is
//! null or surely goes into its column. Such a change says nothing about encodings, placeholders or cells
//! that it did not touch, so nothing has to be staged: its key is written, and the rest stays where it is.
//! Cells that equal those of the image before are not looked at twice.
//!
//! Limits: of any other record nothing is done here; it takes the long way.

use super::super::image::{LaidImage, Meta};
use super::envelope::{Event, Image, Members};
use super::source::Connector;
use super::values::Values;
use super::{Decoder, note_shapes};
use crate::ledger::image::Writer as _;
use crate::model::Op;

impl Decoder<'_> {
    /// Adds a change whose images can be left in the text at sight; `false`: it is none, and nothing was done.
    pub(super) fn leave(
        &mut self,
        target: usize,
        event: &Event<'_>,
        meta: &Meta<'_>,
        connector: Connector,
    ) -> bool {
        let sides = match meta.op {
            Some(Op::Insert | Op::Read) => [None, event.after],
            Some(Op::Update) => [event.before, event.after],
            Some(Op::Delete) => [event.before, None],
            _ => return false,
        };
        let count = if meta.op == Some(Op::Update) { 2 } else { 1 };
        if event.schema.is_some() || event.key.is_some() || self.rows[target].left.is_none() {
            return false;
        }
        // What a delete shows of a table's before images is in its cells.
        let shows = meta.weak && meta.op == Some(Op::Delete);
        if shows && self.rows[target].facts.whole_images().is_none() {
            return false;
        }
        let images = sides.map(|side| side.and_then(|image| self.laid(target, image)));
        if images.iter().flatten().count() != count {
            return false;
        }
        self.nulls.clear();
        let both = count == 2;
        let plain = images.iter().flatten().enumerate();
        if !plain.into_iter().all(|(number, image)| self.is_plain(target, image, both && number == 1)) {
            return false;
        }
        for (side, image) in images.iter().enumerate() {
            if let Some(image) = image {
                self.fields[side] = self.rows[target].carried(image);
            }
        }
        if meta.op == Some(Op::Update) && (meta.weak || connector == Connector::Postgres) {
            self.rows[target].facts.whole_update = true;
        }
        note_shapes(&mut self.rows[target], event, (meta.op, self.fields), None);
        let record = &self.chunk.records[self.index];
        let place = [record.start as u32, record.end as u32];
        let mut values = Values {
            assuming: false,
            encodings: &self.tables[target].encodings,
            decimals: None,
            binary: None,
            variable: &mut [],
            assumed: &mut [],
        };
        self.rows[target].push_left(meta, (&images, &self.nulls), place, &mut values, &mut self.notes);
        true
    }

    /// An image that states every column, by the values of a layout.
    fn laid<'e>(&mut self, target: usize, image: Image<'e>) -> Option<LaidImage<'e>> {
        match image.members {
            Some(Members::Laid(frame, values, fresh)) => {
                self.rows[target].laid_whole((frame.number, &frame.names), (values, fresh))
            }
            _ => None,
        }
    }

    /// Whether every cell of an image is null or surely goes into its column, the key's cells
    /// not null; `twin`: cells that equal those of the image before are known to be.
    fn is_plain(&mut self, target: usize, image: &LaidImage<'_>, twin: bool) -> bool {
        let values = Values {
            assuming: false,
            encodings: &self.tables[target].encodings,
            decimals: None,
            binary: None,
            variable: &mut [],
            assumed: &mut [],
        };
        let (rows, nulls) = (&self.rows[target], &mut self.nulls);
        for ((raw, fresh), column) in image.values.iter().zip(image.fresh).zip(rows.columns_of(image)) {
            let Some(column) = column.filter(|_| *fresh || !twin) else { continue };
            if *raw == "null" {
                if rows.target.schema.is_key(column) {
                    return false;
                }
                nulls.push(column);
                continue;
            }
            let data_type = rows.target.schema.data_type(column);
            if !values.fits(column, data_type, raw) || raw.starts_with('"') && self.placeholder.is(raw) {
                return false;
            }
        }
        true
    }
}
