//! Words of op columns, and what they say.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::super::mapping::{OpWord, image_word, usual_word};
use crate::model::{Op, canon};

/// What the words of a ledger's op column mean.
#[derive(Debug)]
pub(super) struct OpWords {
    declared: HashMap<String, Op>,
    /// Numbers are ops, as in the change tables of SQL Server.
    numbered: bool,
}

impl OpWords {
    /// The usual words of a column of this name, and before them the declared ones.
    pub(super) fn new(declared: &[(String, Op)], column: &str) -> Self {
        Self {
            declared: declared.iter().map(|(word, op)| (word.to_lowercase(), *op)).collect(),
            numbered: column.ends_with("$operation"),
        }
    }

    fn meaning(&self, text: Option<String>) -> Option<OpWord> {
        let word = text?.trim().to_lowercase();
        let declared = self.declared.get(&word).map(|&op| OpWord { op, before: None });
        declared.or_else(|| usual_word(&word, self.numbered))
    }

    /// What each word of a column says; `None` where nobody knows it.
    pub(super) fn read(&self, words: &ArrayRef) -> Vec<Option<OpWord>> {
        match words.data_type() {
            DataType::Dictionary(_, _) => self.read_dictionary(words),
            DataType::Utf8 => self.read_text(words),
            _ => (0..words.len()).map(|row| self.meaning(canon::cell_text(words.as_ref(), row))).collect(),
        }
    }

    fn read_dictionary(&self, words: &ArrayRef) -> Vec<Option<OpWord>> {
        let dictionary = words.as_any_dictionary();
        if dictionary.values().is_empty() {
            return vec![None; words.len()];
        }
        let entries: Vec<Option<OpWord>> = (0..dictionary.values().len())
            .map(|entry| self.meaning(canon::cell_text(dictionary.values().as_ref(), entry)))
            .collect();
        let keys = dictionary.normalized_keys().into_iter().enumerate();
        keys.map(|(row, key)| entries.get(key).copied().flatten().filter(|_| words.is_valid(row))).collect()
    }

    fn read_text(&self, words: &ArrayRef) -> Vec<Option<OpWord>> {
        let words = words.as_string::<i32>();
        let letters: Vec<Option<OpWord>> =
            (0..=u8::MAX).map(|b| self.meaning(Some(char::from(b).to_string()))).collect();
        let mut known: Vec<(&str, Option<OpWord>)> = Vec::new();
        let look_up = |row| {
            let word = if words.is_null(row) { "" } else { words.value(row) };
            if let [letter] = word.as_bytes() {
                return letters[usize::from(*letter)];
            }
            if let Some((_, op)) = known.iter().find(|(w, _)| *w == word) {
                return *op;
            }
            let op = self.meaning(Some(word.to_owned()));
            if known.len() < 16 {
                known.push((word, op));
            }
            op
        };
        (0..words.len()).map(look_up).collect()
    }
}

/// Which image each row holds, where the column says so: `Some(true)` is the before image.
pub(super) fn image_words(words: &ArrayRef) -> Vec<Option<bool>> {
    let word = |row| canon::cell_text(words.as_ref(), row).and_then(|text| image_word(&text));
    (0..words.len()).map(word).collect()
}
