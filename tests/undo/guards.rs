//! What one database alone does: columns of other types than the program knows, columns that it sets
//! itself, engines, and references that it checks row by row.

use super::{Database, Story, assert_is, fill, folder, ledgered, script};

/// A table whose rows change in `qty` alone, at first as the program knows it.
fn beside(name: &'static str) -> Story {
    Story {
        name,
        header: "*id int64 | qty int64 | note text",
        states: vec![vec!["1 | 6 | b", "2 | 1 | c"], vec!["1 | 7 | b", "2 | 1 | c"]],
        plan: "",
        constraints: vec!["PRIMARY KEY (id)"],
    }
}

pub(super) fn collations_hide_no_change(db: &dyn Database) {
    db.run(
        "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE DOMAIN code AS char(4);",
    )
    .unwrap();
    for (name, column, text, fits) in [
        ("caseless same", "text COLLATE caseless", "b", true),
        ("caseless other", "text COLLATE caseless", "B", false),
        ("filled up", "char(5)", "b", true),
        ("filled up other", "char(5)", "B", false),
        ("filled up by its domain", "code", "b", true),
        ("with a blank", "varchar(9)", "b ", false),
    ] {
        let story = beside(name);
        let folder = folder(&[&story]);
        fill(db, &story, &story.rows(0));
        let table = db.quoted(name);
        db.run(&format!(
            "ALTER TABLE {table} ALTER note TYPE {column}; UPDATE {table} SET note = '{text}' WHERE id = 1;"
        ))
        .unwrap();
        let ran = db.run(&script(&folder, db, &[]));
        assert_eq!(ran.is_ok(), fits, "{name}: {ran:?}");
        let qty = db.run(&format!("SELECT qty FROM {table} WHERE id = 1;")).unwrap();
        assert_eq!(qty.trim(), if fits { "6" } else { "7" }, "{name}");
    }
}

pub(super) fn numbers_kept_as_text_are_compared_as_text(db: &dyn Database) {
    for (name, code, amount, fits) in [
        ("as read", "123", "1.50", true),
        ("less places", "123", "1.5", true),
        ("more places", "123", "1.500", false),
        ("leading zero", "0123", "1.50", false),
        ("point", "123.0", "1.50", false),
        ("blank", "123 ", "1.50", false),
        ("exponent", "1.23e2", "1.50", false),
    ] {
        let story = Story {
            name,
            header: "*id int64 | qty int64 | code int64 | amount decimal(9,2)",
            states: vec![vec!["1 | 6 | 123 | 1.50"], vec!["1 | 7 | 123 | 1.50"]],
            plan: "",
            constraints: vec!["PRIMARY KEY (id)"],
        };
        let folder = folder(&[&story]);
        fill(db, &story, &story.rows(0));
        let table = db.quoted(name);
        db.run(&format!(
            "ALTER TABLE {table} MODIFY code varchar(20), MODIFY amount varchar(20);
             UPDATE {table} SET code = '{code}', amount = '{amount}';"
        ))
        .unwrap();
        let ran = db.run(&script(&folder, db, &[]));
        assert_eq!(ran.is_ok(), fits, "{name}: {ran:?}");
        let qty = db.run(&format!("SELECT qty FROM {table};")).unwrap();
        assert_eq!(qty.trim(), if fits { "6" } else { "7" }, "{name}");
    }
    // A column of numbers shows them as it likes.
    let story = beside("filled");
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    db.run("ALTER TABLE filled MODIFY qty int(9) ZEROFILL;").unwrap();
    db.run(&script(&folder, db, &[])).unwrap();
    assert_eq!(db.run("SELECT qty + 0 FROM filled WHERE id = 1;").unwrap().trim(), "6");
}

pub(super) fn columns_that_the_database_sets_are_set_back(db: &dyn Database) {
    let story = Story {
        name: "stamped",
        header: "*id int64 | qty int64 | seen timestamptz | told text | note text",
        states: vec![
            vec!["1 | 6 | 2025-01-01T00:00:00.5Z | 2025-01-02 03:04:05 | null"],
            vec!["1 | 7 | 2025-01-01T00:00:00.5Z | 2025-01-02 03:04:05 | null"],
        ],
        plan: "",
        constraints: vec!["PRIMARY KEY (id)"],
    };
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    db.run(
        "ALTER TABLE stamped MODIFY told datetime ON UPDATE CURRENT_TIMESTAMP,
         MODIFY seen timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
         DROP note, ADD note varchar(9) AS (IF(id > 5, 'more', NULL)) VIRTUAL;",
    )
    .unwrap();
    let script = script(&folder, db, &[]);
    db.run(&script).unwrap_or_else(|e| panic!("{e}\n{script}"));
    assert_is(db, &story, "then");
}

pub(super) fn tables_without_transactions_are_refused(db: &dyn Database) {
    let story = Story { name: "kept", ..ledgered() };
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    db.run("ALTER TABLE kept ENGINE = MyISAM; CREATE TABLE `kept as it is` AS SELECT * FROM kept;").unwrap();
    for target in ["kept=kept", "kept=asof.kept"] {
        let script = script(&folder, db, &["--target", target]);
        let refused = db.run(&script).expect_err("MyISAM rolls nothing back");
        assert!(refused.contains("kept is kept by MyISAM, which cannot roll back"), "{refused}");
        assert_is(db, &story, "as it is");
        db.run_on(&script);
        assert_is(db, &story, "as it is");
    }
    db.run("ALTER TABLE kept ENGINE = InnoDB;").unwrap();
    db.run(&script(&folder, db, &["--target", "kept=asof.kept"])).unwrap();
    assert_is(db, &story, "then");
}

/// Rows that refer to themselves or to each other, where references are checked row by row.
pub(super) fn rows_that_hold_each_other_go(db: &dyn Database) {
    let story = Story {
        name: "circles",
        header: "*id int64 | above int64 | seen timestamptz",
        states: vec![
            vec!["1 | null | 2025-01-01T00:00:00Z", "2 | 1 | 2025-01-01T00:00:00Z"],
            vec![
                "1 | null | 2025-01-01T00:00:00Z",
                "5 | 5 | 2025-01-01T00:00:00Z",
                "6 | 7 | 2025-01-01T00:00:00Z",
                "7 | 8 | 2025-01-01T00:00:00Z",
                "8 | 6 | 2025-01-01T00:00:00Z",
            ],
        ],
        plan: "references = [{ columns = [\"above\"], to = \"circles\" }]",
        constraints: vec!["PRIMARY KEY (id)"],
    };
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    db.run(
        "ALTER TABLE circles ADD FOREIGN KEY (above) REFERENCES circles (id),
         MODIFY seen timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6);",
    )
    .unwrap();
    let script = script(&folder, db, &[]);
    db.run(&script).unwrap_or_else(|e| panic!("{e}\n{script}"));
    assert_is(db, &story, "then");
}
