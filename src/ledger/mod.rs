//! Change ledgers: from a format's records to typed changes.
//!
//! ```text
//!  JsonChunk ──► decode (parallel, pure) ──► Decoded ──► Carry::stitch (in order) ──► ChangeBatch
//!                  ▲                                         │
//!                  └──────────────── Facts ◄─────────────────┘
//! ```
//!
//! A format is one module and one arm of [`Format`]. It turns records into
//! [`ChangeBatch`](crate::model::ChangeBatch)es whose cells are of exactly the
//! table's types, and never claims more of a cell than its record does.

mod binlog;
mod canal;
mod chunk;
mod columns;
mod debezium;
mod decode;
mod dms;
mod dms_rows;
mod dms_tables;
mod drift;
mod dynamodb;
mod feed;
mod goldengate;
mod halves;
mod hash_chain;
mod image;
mod json;
mod mapped;
mod mapped_json;
mod mapping;
mod maxwell;
mod mongodb;
mod notes;
mod open;
pub mod order;
mod placeholder;
mod position;
mod reads;
mod route;
mod settle;
mod spooled;
mod stitch;
pub mod store;
mod tabular;
pub(crate) mod ticdc_csv;
mod ticdc_open;
mod unread;
mod unwrap;
mod wal2json;
pub mod want;
mod words;

#[cfg(test)]
mod testing;

use crate::read::JsonChunk;

pub use decode::{
    Clock, Control, DecodeOptions, Decoded, Depth, Facts, Missing, Note, TableTarget, TextEncoding,
};
pub use drift::{Begin, Drift, DriftFinder, Place, Shapes};
pub use halves::Halves;
pub use hash_chain::follow as follow_hashes;
pub use mapped::{MappedTable, RisingMarks, TwiceTime};
pub(crate) use mapping::usual_op;
pub use mapping::{ImageColumns, ImageSide, Mapping, MappingHints, OpWord, image_word};
pub use open::{
    Shape, chunks, decode_options, detect, input_files, is_binlog, is_dms_table, is_ticdc_csv, mapping,
    refuse_frames, refuse_meanings_of_columns, take_changes, with_records,
};
pub use position::{PositionIdentity, PositionKind, format_lsn, parse_lsn, parse_position};
pub use reads::TableReads;
pub use stitch::{Carry, Stream};
pub use tabular::postings::{
    Base, Comparable, Derived, Equation, PostingFinding, PostingLedger, PostingSummary, PostingTarget,
    exact_number, posting_keys, usual_postings,
};
pub use tabular::{
    Contested, Context as TabularContext, TabularLedger, is_saft, is_table_folder, tabular_format,
};
pub use ticdc_csv::sink_of;
pub use unread::{TextLedger, Texts};
pub use words::{numeric_texts, settle_words, uuid_texts};

/// Who wrote a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Any table with columns for op, time and images.
    Mapped,
    /// Debezium change events as JSON.
    Debezium,
    /// PostgreSQL's wal2json, version 1 or 2.
    Wal2Json,
    /// The binary log of MySQL or MariaDB, as `mysqlbinlog -vv` prints it.
    Binlog,
    /// Maxwell's daemon.
    Maxwell,
    /// Canal's flat messages, and TiCDC's `canal-json`.
    Canal,
    /// TiCDC's `simple`, open and CSV protocols.
    TiCdc,
    /// Oracle GoldenGate's JSON.
    GoldenGate,
    /// AWS DMS messages.
    Dms,
    /// Debezium's flattened records (`ExtractNewRecordState`).
    DebeziumFlat,
    /// MongoDB change events.
    MongoDb,
    /// DynamoDB stream records.
    DynamoDb,
    /// The audit trigger's table `logged_actions`.
    LoggedActions,
    /// The audit trigger's table `record_version`.
    RecordVersion,
    /// pgMemento's logs, joined.
    PgMemento,
    /// Versions of rows, valid from and to: system-versioned tables, snapshots, SCD2.
    Versions,
    /// SQL Server's change tables.
    SqlServerCdc,
    /// Delta Lake's change data feed: exported rows, or the folder of the table.
    DeltaCdf,
    /// Rows of a Snowflake stream, copied into a table.
    SnowflakeStream,
    /// Salesforce's field history.
    SalesforceHistory,
    /// ServiceNow's `sys_audit`.
    ServiceNowAudit,
    /// SAP's change documents.
    SapChanges,
    /// Jira's changelog.
    JiraChangelog,
    /// Postings: any table with amounts that move measures of keys.
    Postings,
    /// The French ledger file (fichier des écritures comptables).
    Fec,
    /// The journal that `hledger print -O csv` prints.
    Hledger,
    /// Postings that `bean-query` prints as CSV.
    Beancount,
    /// SAF-T, the standard audit file for tax, as XML.
    SafT,
}

impl Format {
    /// All formats.
    pub const ALL: &'static [Self] = &[
        Self::Mapped,
        Self::Debezium,
        Self::Wal2Json,
        Self::Binlog,
        Self::Maxwell,
        Self::Canal,
        Self::TiCdc,
        Self::GoldenGate,
        Self::Dms,
        Self::DebeziumFlat,
        Self::MongoDb,
        Self::DynamoDb,
        Self::LoggedActions,
        Self::RecordVersion,
        Self::PgMemento,
        Self::Versions,
        Self::SqlServerCdc,
        Self::DeltaCdf,
        Self::SnowflakeStream,
        Self::SalesforceHistory,
        Self::ServiceNowAudit,
        Self::SapChanges,
        Self::JiraChangelog,
        Self::Postings,
        Self::Fec,
        Self::Hledger,
        Self::Beancount,
        Self::SafT,
    ];

    /// The word for it in plans and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Debezium => "debezium",
            Self::Wal2Json => "wal2json",
            Self::Binlog => "binlog",
            Self::Maxwell => "maxwell",
            Self::Canal => "canal",
            Self::TiCdc => "ticdc",
            Self::GoldenGate => "goldengate",
            Self::Dms => "dms",
            Self::DebeziumFlat => "debezium-flat",
            Self::MongoDb => "mongodb",
            Self::DynamoDb => "dynamodb",
            Self::LoggedActions => "logged_actions",
            Self::RecordVersion => "record_version",
            Self::PgMemento => "pgmemento",
            Self::Versions => "versions",
            Self::SqlServerCdc => "sqlserver-cdc",
            Self::DeltaCdf => "delta-cdf",
            Self::SnowflakeStream => "snowflake-stream",
            Self::SalesforceHistory => "salesforce-history",
            Self::ServiceNowAudit => "servicenow-audit",
            Self::SapChanges => "sap-changes",
            Self::JiraChangelog => "jira-changelog",
            Self::Postings => "postings",
            Self::Fec => "fec",
            Self::Hledger => "hledger",
            Self::Beancount => "beancount",
            Self::SafT => "saf-t",
        }
    }

    /// Whether its ledgers are tables, read row by row whatever files they lie in.
    pub fn is_tabular(self) -> bool {
        self.is_field_history()
            || self.is_postings()
            || matches!(
                self,
                Self::LoggedActions
                    | Self::RecordVersion
                    | Self::PgMemento
                    | Self::Versions
                    | Self::SqlServerCdc
                    | Self::DeltaCdf
                    | Self::SnowflakeStream
            )
    }

    /// Whether a row of its ledgers is the change of one field.
    pub fn is_field_history(self) -> bool {
        matches!(
            self,
            Self::SalesforceHistory | Self::ServiceNowAudit | Self::SapChanges | Self::JiraChangelog
        )
    }

    /// Whether its records move measures instead of carrying images.
    pub fn is_postings(self) -> bool {
        matches!(self, Self::Postings | Self::Fec | Self::Hledger | Self::Beancount | Self::SafT)
    }

    /// The format of JSON records, by the first ones that can only come from one producer.
    /// Records of none make it a mapped ledger; `None` without any record.
    ///
    /// ```
    /// use asof::ledger::Format;
    /// assert_eq!(Format::detect([r#"{"action":"B"}"#]), Some(Format::Wal2Json));
    /// assert_eq!(Format::detect([r#"{"seq":1,"op":"I","after":{"id":7}}"#]), Some(Format::Mapped));
    /// assert_eq!(Format::detect(["null"]), None);
    /// ```
    pub fn detect<'a>(records: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut mapped = None;
        for record in records {
            if debezium::is_debezium(record) {
                return Some(Self::Debezium);
            }
            if wal2json::is_wal2json(record) {
                return Some(Self::Wal2Json);
            }
            if let Some((format, _)) = STREAMS.iter().find(|(_, is)| is(record)) {
                return Some(*format);
            }
            if record.trim_start().starts_with('{') {
                mapped = Some(Self::Mapped);
            }
        }
        mapped
    }
}

/// How to know a record of a change stream.
type IsRecord = fn(&str) -> bool;

/// Change streams, by what only their producer writes.
const STREAMS: [(Format, IsRecord); 8] = [
    (Format::Maxwell, maxwell::is_maxwell),
    (Format::Canal, canal::is_canal),
    (Format::TiCdc, canal::is_simple),
    (Format::GoldenGate, goldengate::is_goldengate),
    (Format::Dms, dms::is_dms),
    (Format::DebeziumFlat, debezium::is_flat),
    (Format::MongoDb, mongodb::is_mongodb),
    (Format::DynamoDb, dynamodb::is_dynamodb),
];

/// Finds what the members of a mapped JSON ledger mean, from its first records; the plan's `hints` win.
///
/// # Errors
/// In words, what cannot be found and what to declare.
pub fn detect_mapping<'a>(
    records: impl IntoIterator<Item = &'a str>,
    targets: &[TableTarget],
    hints: &MappingHints,
) -> Result<Mapping, String> {
    mapped_json::detect(records, targets, hints)
}

/// The tables that the first chunk of a binary log names, with their columns; those that it does not name are
/// `@1`, `@2`, ….
pub fn binlog_tables(chunk: &JsonChunk) -> std::collections::BTreeMap<String, Vec<String>> {
    binlog::tables(chunk)
}

/// Decodes a chunk of a JSON ledger for these targets. Pure, so chunks can be decoded in parallel.
///
/// Bad records never fail: they are [`Decoded::notes`].
pub fn decode(
    format: Format,
    chunk: &JsonChunk,
    targets: &[TableTarget],
    options: &DecodeOptions,
) -> Decoded {
    match format {
        Format::Debezium => debezium::decode(chunk, targets, options),
        Format::Wal2Json => wal2json::decode(chunk, targets, options),
        Format::Binlog => binlog::decode(chunk, targets, options),
        Format::Maxwell => feed::decode::<maxwell::Maxwell>(chunk, targets, options),
        Format::Canal => feed::decode::<canal::Canal>(chunk, targets, options),
        Format::TiCdc => feed::decode::<canal::Simple>(chunk, targets, options),
        Format::GoldenGate => feed::decode::<goldengate::GoldenGate>(chunk, targets, options),
        Format::Dms => feed::decode::<dms::Dms>(chunk, targets, options),
        Format::DebeziumFlat => feed::decode::<debezium::Flat>(chunk, targets, options),
        Format::MongoDb => feed::decode::<mongodb::MongoDb>(chunk, targets, options),
        Format::DynamoDb => feed::decode::<dynamodb::DynamoDb>(chunk, targets, options),
        // Rows of a table, one per object, have names that a mapping finds.
        _ => mapped_json::decode(chunk, targets, options),
    }
}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod hostile;
