//! The declaration of a change ledger, as plain data.

use std::path::PathBuf;

use arrow::datatypes::TimeUnit;

use super::{Bound, Filter, Postings, TableSource};
use crate::model::Op;

/// The changes of one dataset: files, how to read them, and for which span they are complete.
///
/// Datasets whose ledgers have equal [`Ledger::paths`] share one source: one
/// order and one cut.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// Files, folders and wildcards, in the order in which they were written.
    pub paths: Vec<PathBuf>,
    /// What is declared about them as tables: file format, delimiter, types, zone of
    /// times without an offset. Its `pattern` is the first of the paths.
    pub table: TableSource,
    /// Who wrote the changes; `None`: detected.
    pub format: Option<LedgerFormat>,
    /// Names under which the dataset occurs in a stream of several tables. Empty: its own name.
    pub names: Vec<String>,
    /// Which columns mean what, for mapped ledgers.
    pub columns: LedgerColumns,
    /// Words of the op column and what they mean, beside the usual ones.
    pub ops: Vec<(String, Op)>,
    /// Which clock `committed_at` is, if the log has no commit times.
    pub clock: LedgerClock,
    /// The ledger is complete from here on.
    pub complete_from: Option<Bound>,
    /// The ledger is complete up to here.
    pub complete_to: Option<Bound>,
    /// The ledger holds every change since the table was created empty.
    pub from_birth: bool,
    /// Whether NaN and infinity can occur, for producers that write them as null.
    pub non_finite: Option<bool>,
    /// The text that a producer writes for values it did not record.
    pub placeholder: Option<String>,
    /// What a column means that a record leaves out; `None`: as the format says.
    pub missing: Option<MissingCells>,
    /// How decimals are written where records do not say; `None`: detected.
    pub decimals: Option<ValueCoding>,
    /// How bytes are written where records do not say; `None`: detected.
    pub binary: Option<ValueCoding>,
    /// Unit of timestamps written as integers where records do not say; `None`: the column's own.
    pub timestamps: Option<TimeUnit>,
    /// Whether images of updates and deletes are whole; `None`: detected.
    pub full_images: Option<bool>,
    /// The words of enum and set columns in their order, for ledgers that write their numbers.
    pub labels: Vec<(String, Vec<String>)>,
    /// A file that says when the transactions of a change table were committed, as
    /// SQL Server's `lsn_time_mapping` or SAP's change headers do.
    pub times: Option<PathBuf>,
    /// Columns of fields that a history of fields calls by another name: field and column.
    pub fields: Vec<(String, String)>,
    /// How many characters each part of a record's name has, where a history of fields joins the
    /// columns of a key into one text. Empty: it is the key.
    pub key_widths: Vec<usize>,
    /// Values of so many characters may have been cut off, and count as not recorded;
    /// `None`: as the format says.
    pub value_limit: Option<usize>,
    /// The filter under which the ledger was recorded.
    pub filter: Option<Filter>,
    /// How its records move measures, for ledgers of postings.
    pub postings: Postings,
    /// Its records carry a hash and that of the record before them.
    pub hash_chain: Option<HashChain>,
}

/// Which columns of a ledger chain its records by hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashChain {
    /// The hash of a record.
    pub hash: String,
    /// The hash of the record before it.
    pub previous: String,
    /// Columns for each of whose values there is a chain of its own. Empty: one chain.
    pub per: Vec<String>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// All of them, in the order in which they are listed to people.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it in plans and flags.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// Who wrote a ledger.
    LedgerFormat {
        /// Any table with columns for op, time and images.
        Mapped = "mapped",
        /// Debezium change events as JSON.
        Debezium = "debezium",
        /// PostgreSQL's wal2json, version 1 or 2.
        Wal2Json = "wal2json",
        /// The binary log of MySQL or MariaDB, as `mysqlbinlog -vv` prints it.
        Binlog = "binlog",
        /// Maxwell's daemon.
        Maxwell = "maxwell",
        /// Canal's flat messages, and TiCDC's `canal-json`.
        Canal = "canal",
        /// TiCDC's `simple` protocol.
        TiCdc = "ticdc",
        /// Oracle GoldenGate's JSON.
        GoldenGate = "goldengate",
        /// AWS DMS messages.
        Dms = "dms",
        /// Debezium's flattened records (`ExtractNewRecordState`).
        DebeziumFlat = "debezium-flat",
        /// MongoDB change events.
        MongoDb = "mongodb",
        /// DynamoDB stream records.
        DynamoDb = "dynamodb",
        /// The audit trigger's table `logged_actions`.
        LoggedActions = "logged_actions",
        /// The audit trigger's table `record_version`.
        RecordVersion = "record_version",
        /// pgMemento's logs, joined.
        PgMemento = "pgmemento",
        /// Versions of rows, valid from and to: system-versioned tables, snapshots, SCD2.
        Versions = "versions",
        /// SQL Server's change tables.
        SqlServerCdc = "sqlserver-cdc",
        /// Delta Lake's change data feed: exported rows, or the folder of the table.
        DeltaCdf = "delta-cdf",
        /// Rows of a Snowflake stream, copied into a table.
        SnowflakeStream = "snowflake-stream",
        /// Salesforce's field history.
        SalesforceHistory = "salesforce-history",
        /// ServiceNow's `sys_audit`.
        ServiceNowAudit = "servicenow-audit",
        /// SAP's change documents.
        SapChanges = "sap-changes",
        /// Jira's changelog.
        JiraChangelog = "jira-changelog",
        /// Postings: any table with amounts that move measures of keys.
        Postings = "postings",
        /// The French ledger file (fichier des écritures comptables).
        Fec = "fec",
        /// The journal that `hledger print -O csv` prints.
        Hledger = "hledger",
        /// Postings that `bean-query` prints as CSV.
        Beancount = "beancount",
        /// SAF-T, the standard audit file for tax, as XML.
        SafT = "saf-t",
    }
}

impl LedgerFormat {
    /// Whether its records move measures instead of carrying images.
    pub fn is_postings(self) -> bool {
        matches!(self, Self::Postings | Self::Fec | Self::Hledger | Self::Beancount | Self::SafT)
    }

    /// Whether the plan may say which columns mean what, and what words in them say.
    pub fn has_columns(self) -> bool {
        matches!(
            self,
            Self::Mapped
                | Self::LoggedActions
                | Self::RecordVersion
                | Self::PgMemento
                | Self::Versions
                | Self::SqlServerCdc
                | Self::DeltaCdf
                | Self::SnowflakeStream
                | Self::SalesforceHistory
                | Self::ServiceNowAudit
                | Self::SapChanges
                | Self::JiraChangelog
                | Self::Postings
                | Self::Fec
                | Self::Hledger
                | Self::Beancount
                | Self::SafT
        )
    }
}

words! {
    /// Which clock a ledger records.
    LedgerClock {
        /// When the transaction committed.
        Commit = "commit",
        /// When the statement ran.
        Statement = "statement",
        /// When the transaction began.
        Start = "start",
        /// When it counts in the business: the posting date.
        Effective = "effective",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that declares the words knows no default")]
impl Default for LedgerClock {
    fn default() -> Self {
        Self::Commit
    }
}

words! {
    /// What a column means that a record leaves out.
    MissingCells {
        /// Not recorded; it may have changed.
        Absent = "absent",
        /// The change did not touch it.
        Unchanged = "unchanged",
        /// The change did not touch it if both images leave it out, else it is null in the one that does: so logs
        /// are written that hold old and new values of the changed columns, as columns.
        UnchangedIfBoth = "unchanged-if-both",
        /// It is null.
        Null = "null",
    }
}

words! {
    /// How values that JSON cannot express are written.
    ValueCoding {
        /// As plain text.
        Text = "text",
        /// As base64.
        Base64 = "base64",
        /// As hexadecimal digits.
        Hex = "hex",
    }
}

/// Which columns of a mapped ledger mean what. All optional: what is not named is detected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerColumns {
    /// The source's own order mark of a change.
    pub position: Option<String>,
    /// The position of the commit.
    pub commit_position: Option<String>,
    /// What the change did.
    pub op: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// When it was committed.
    pub committed_at: Option<String>,
    /// What identifies a posting for ever, together: those of a document and its line, for instance.
    pub id: Vec<String>,
    /// When a posting counts in the business.
    pub effective_at: Option<String>,
    /// The currency or unit of the amounts.
    pub currency: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The before image: a struct or JSON column, or a pattern with one `*` such as `old_*`.
    pub before: Option<String>,
    /// The after image, in the same way.
    pub after: Option<String>,
    /// A column that says whether a row is a before or an after image.
    pub image: Option<String>,
    /// A column that names the table.
    pub table: Option<String>,
    /// When a version begins to be valid, or a range that says both.
    pub valid_from: Option<String>,
    /// When it ends.
    pub valid_to: Option<String>,
    /// Whether the version stands for a deleted row.
    pub deleted: Option<String>,
    /// What names the changed record, in histories of fields.
    pub record: Option<String>,
}
