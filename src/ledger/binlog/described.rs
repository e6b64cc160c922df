//! What `--print-table-metadata` says of a table's columns.
//!
//! ```text
//!  # Columns(`id` BIGINT UNSIGNED NOT NULL,
//!  #         `kind` ENUM('retail','corp') CHARSET utf8mb4)
//! ```

use super::lines::quoted_name;

/// The columns of a table, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Described {
    pub(super) columns: Vec<DescribedColumn>,
}

/// One column.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DescribedColumn {
    pub(super) name: Option<String>,
    pub(super) unsigned: bool,
    /// The words of an enum or a set.
    pub(super) labels: Vec<String>,
}

/// Takes in the line of one column, without what stands before its name.
pub(super) fn described_line(line: &str, described: &mut Described) {
    let (name, rest) = match quoted_name(line.as_bytes()) {
        Some((name, rest)) => (Some(name.into_owned()), String::from_utf8_lossy(rest).into_owned()),
        None => (None, line.to_owned()),
    };
    let kind = rest.trim_start().to_ascii_uppercase();
    let labels = if kind.starts_with("ENUM") || kind.starts_with("SET") { labels(&rest) } else { Vec::new() };
    described.columns.push(DescribedColumn { name, unsigned: kind.contains(" UNSIGNED"), labels });
}

/// The quoted words of a list.
fn labels(text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let Some((_, mut rest)) = text.split_once('(') else { return labels };
    while let Some(quoted) = rest.trim_start_matches([',', ' ']).strip_prefix('\'') {
        let mut label = String::new();
        let mut chars = quoted.char_indices().peekable();
        let mut end = quoted.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => {
                    end = at + 1;
                    break;
                }
                _ => label.push(c),
            }
        }
        labels.push(label);
        rest = &quoted[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_signs_and_labels() {
        let mut described = Described::default();
        described_line("`id` BIGINT UNSIGNED NOT NULL,", &mut described);
        described_line("`ki``nd` ENUM('retail','it''s','a,b') CHARSET utf8mb4)", &mut described);
        assert_eq!(described.columns[0].name.as_deref(), Some("id"));
        assert!(described.columns[0].unsigned && !described.columns[1].unsigned);
        assert_eq!(described.columns[1].name.as_deref(), Some("ki`nd"));
        assert_eq!(described.columns[1].labels, ["retail", "it's", "a,b"]);
    }
}
