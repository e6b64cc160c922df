//! Ledgers of postings.

use super::{Coverage, Inspected, InspectedLedger, InspectedTable};
use crate::error::Result;
use crate::ledger::{Format, PostingLedger};
use crate::model::time;
use crate::read::{InputFile, Spool, TableFormat};

/// What a file of this format is. Postings carry no images and have no op.
pub(super) fn described(
    file: &InputFile,
    format: Format,
    container: TableFormat,
    spool: &Spool,
) -> Result<Inspected> {
    let summary = PostingLedger::describe(&file.path, format, spool)?;
    let instant = |at: Option<i64>| at.map(time::format_instant);
    let table = InspectedTable {
        name: String::new(),
        columns: summary.columns,
        changes: summary.postings,
        ops: Vec::new(),
        window: (instant(summary.effective.0), instant(summary.effective.1)),
        before: Coverage::default(),
        after: Coverage::default(),
    };
    Ok(Inspected {
        path: file.path.display().to_string(),
        bytes: file.size,
        format: container,
        rows: summary.postings,
        columns: Vec::new(),
        ledger: Some(InspectedLedger { format, tables: vec![table] }),
        remarks: summary.remarks,
    })
}

#[cfg(test)]
mod tests {
    use crate::pipeline::inspect::tests::inspected;

    #[test]
    fn each_format_is_recognised_and_described() {
        let fec = "JournalCode\tJournalLib\tEcritureNum\tEcritureDate\tCompteNum\tCompteLib\tCompAuxNum\tCompAuxLib\t\
                   PieceRef\tPieceDate\tEcritureLib\tDebit\tCredit\tEcritureLet\tDateLet\tValidDate\tMontantdevise\tIdevise\n\
                   AC\tAchats\t1\t20240331\t401000\tF\t\t\tFA\t20240329\tx\t0,00\t120,00\t\t\t20240402\t\t\n\
                   AC\tAchats\t1\t20240331\t607000\tA\t\t\tFA\t20240329\tx\t110,00\t0,00\t\t\t20240402\t\t\n";
        let found = inspected("fec.txt", fec);
        let ledger = found.ledger.unwrap();
        assert_eq!((ledger.format.name(), ledger.tables[0].changes), ("fec", 2));
        assert_eq!(ledger.tables[0].window.0.as_deref(), Some("2024-03-31T00:00:00Z"));
        assert_eq!(ledger.tables[0].columns, ["CompteNum", "Debit", "Credit"]);
        assert_eq!(
            found.remarks,
            [
                "amounts: Debit less Credit; their sum is -10.00",
                "entered: 2024-04-02T00:00:00Z to 2024-04-02T00:00:00Z",
                "transactions: 1, 1 of them unbalanced",
                "keys: 2",
            ]
        );
        let hledger = "\"txnidx\",\"date\",\"date2\",\"status\",\"code\",\"description\",\"comment\",\"account\",\"amount\",\
                       \"commodity\",\"credit\",\"debit\",\"posting-status\",\"posting-comment\"\n\
                       \"1\",\"2008-01-01\",\"\",\"\",\"\",\"income\",\"\",\"assets:bank\",\"1\",\"$\",\"\",\"1\",\"\",\"\"\n\
                       \"1\",\"2008-01-01\",\"\",\"\",\"\",\"income\",\"\",\"income\",\"-1\",\"$\",\"1\",\"\",\"\",\"\"\n";
        let found = inspected("print.csv", hledger);
        assert_eq!(found.ledger.unwrap().format.name(), "hledger");
        assert!(
            found.remarks.contains(&"transactions: 1, 0 of them unbalanced".to_owned()),
            "{:?}",
            found.remarks
        );
        let beancount = "id,date,account,number,currency\na,2024-01-01,Assets:Cash,10.00,EUR\na,2024-01-01,Income,-10.00,EUR\n";
        assert_eq!(inspected("q.csv", beancount).ledger.unwrap().format.name(), "beancount");
    }
}
