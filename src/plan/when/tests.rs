use chrono_tz::Tz;

use super::*;

const BERLIN: Calendar = Calendar { zone: Some(Tz::Europe__Berlin), fiscal_year_start: Some((4, 1)) };

/// Label and resolved bound of each moment, one a line.
fn shown(text: &str, calendar: &Calendar) -> String {
    let now = parse_instant("2026-01-01T00:30:00+01:00", None).unwrap();
    match Moment::parse(text, calendar, now) {
        Ok(moments) => {
            moments.iter().map(|m| format!("{}: {}", m.label, m.resolved)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("{error}"),
    }
}

fn hint(text: &str, calendar: &Calendar) -> String {
    Moment::parse(text, calendar, 0).unwrap_err().hint().unwrap()
}

#[test]
fn a_day_or_period_ends_before_the_next_one() {
    let table = [
        ("2025-12-31", "2025-12-31: before 2026-01-01T00:00:00+01:00 (2025-12-31T23:00:00Z)"),
        ("2025-12", "2025-12: before 2026-01-01T00:00:00+01:00 (2025-12-31T23:00:00Z)"),
        ("2025-Q4", "2025-Q4: before 2026-01-01T00:00:00+01:00 (2025-12-31T23:00:00Z)"),
        ("2025", "2025: before 2026-01-01T00:00:00+01:00 (2025-12-31T23:00:00Z)"),
        ("2025-q2", "2025-Q2: before 2025-07-01T00:00:00+02:00 (2025-06-30T22:00:00Z)"),
        ("FY2025", "FY2025: before 2025-04-01T00:00:00+02:00 (2025-03-31T22:00:00Z)"),
        ("FY2025-Q3", "FY2025-Q3: before 2025-01-01T00:00:00+01:00 (2024-12-31T23:00:00Z)"),
        ("fy2025-q4", "FY2025-Q4: before 2025-04-01T00:00:00+02:00 (2025-03-31T22:00:00Z)"),
        ("2024-02-29", "2024-02-29: before 2024-03-01T00:00:00+01:00 (2024-02-29T23:00:00Z)"),
        // Half an hour into January in Berlin it is still December in London.
        ("last-month-end", "2025-12-31: before 2026-01-01T00:00:00+01:00 (2025-12-31T23:00:00Z)"),
    ];
    for (when, expected) in table {
        assert_eq!(shown(when, &BERLIN), expected, "{when}");
    }
    assert_eq!(shown("last-month-end", &Calendar::UTC), "2025-11-30: before 2025-12-01T00:00:00Z");
}

#[test]
fn days_on_which_clocks_change_are_23_and_25_hours_long() {
    let hours = |when: &str, before: &str| {
        let end = |text| Moment::parse_one(text, &BERLIN).unwrap().bound.last_nanosecond().unwrap();
        (end(when) - end(before)) / 3_600_000_000_000
    };
    assert_eq!(hours("2025-03-30", "2025-03-29"), 23);
    assert_eq!(hours("2025-10-26", "2025-10-25"), 25);
    assert_eq!(hours("2025-10-27", "2025-10-26"), 24);
}

#[test]
fn an_instant_is_inclusive() {
    let moment = Moment::parse_one("2021-12-10T08:53:36Z", &Calendar::UTC).unwrap();
    assert_eq!(moment.label, "2021-12-10T085336Z");
    assert_eq!(moment.resolved, "up to and including 2021-12-10T08:53:36Z");
    let Bound::At(instant) = moment.bound else { panic!("{moment:?}") };
    assert_eq!(moment.bound.includes(instant), Some(true));
    assert_eq!(moment.bound.includes(instant + 1), Some(false));
    let day = Moment::parse_one("2021-12-10", &Calendar::UTC).unwrap().bound;
    let Bound::Before(end) = day else { panic!("{day:?}") };
    assert_eq!(day.includes(end), Some(false));
    assert_eq!(day.includes(end - 1), Some(true));
    assert_eq!(
        shown("2025-06-30T12:00:00.5+02:00", &BERLIN),
        "2025-06-30T100000.500Z: up to and including 2025-06-30T12:00:00.500+02:00 (2025-06-30T10:00:00.500Z)"
    );
}

#[test]
fn local_times_need_a_zone_that_has_them_once() {
    assert_eq!(shown("2025-06-30T12:00:00", &BERLIN).split(':').next(), Some("2025-06-30T100000Z"));
    assert!(shown("2025-06-30T12:00:00", &Calendar::UTC).contains("needs an offset"));
    assert!(shown("2025-03-30T02:30:00", &BERLIN).contains("skip it"));
    assert!(shown("2025-10-26T02:30:00", &BERLIN).contains("twice"));
    let hint = hint("2025-10-26T02:30:00", &BERLIN);
    assert_eq!(hint, "write 2025-10-26T02:30:00+02:00 or 2025-10-26T02:30:00+01:00");
}

#[test]
fn positions_and_transactions_keep_their_notation() {
    let moment = Moment::parse_one("position:0/16B374D8", &Calendar::UTC).unwrap();
    assert_eq!(moment.bound, Bound::Position("0/16B374D8".to_owned()));
    assert_eq!(moment.label, "position-0-16B374D8");
    let moments = Moment::parse("position:a,4,position:b,txn:7", &Calendar::UTC, 0).unwrap();
    let bounds: Vec<_> = moments.into_iter().map(|m| m.bound).collect();
    let position = |p: &str| Bound::Position(p.to_owned());
    assert_eq!(bounds, [position("a,4"), position("b"), Bound::Transaction("7".to_owned())]);
    assert!(shown("position:1/2,position:1-2", &Calendar::UTC).contains("both be named"));
    assert!(shown("txn:", &Calendar::UTC).contains("missing"));
}

#[test]
fn lists_and_ranges_keep_their_order_and_repeat_nothing() {
    let labels = |text: &str| -> Vec<String> {
        Moment::parse(text, &BERLIN, 0).unwrap().into_iter().map(|m| m.label).collect()
    };
    assert_eq!(labels("2025-12-31, 2025-06-30,2025-12-31"), ["2025-12-31", "2025-06-30"]);
    assert_eq!(labels("2025-11..2026-02"), ["2025-11", "2025-12", "2026-01", "2026-02"]);
    assert_eq!(labels("2025-Q3..2026-Q1"), ["2025-Q3", "2025-Q4", "2026-Q1"]);
    assert_eq!(labels("FY2024..FY2025"), ["FY2024", "FY2025"]);
    assert_eq!(labels("FY2024-Q4..FY2025-Q1"), ["FY2024-Q4", "FY2025-Q1"]);
    assert_eq!(labels("2025-02-27..2025-03-02").len(), 4);
    assert_eq!(
        labels("2025-01-31..2025-04-30/month"),
        ["2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"]
    );
    assert_eq!(
        labels("2024-12-30..2025-03-30/month"),
        ["2024-12-30", "2025-01-30", "2025-02-28", "2025-03-30"]
    );
    assert_eq!(labels("2025-01-01..2025-01-20/week"), ["2025-01-01", "2025-01-08", "2025-01-15"]);
    assert_eq!(labels("2025-03..2025-12/quarter"), ["2025-03", "2025-06", "2025-09", "2025-12"]);
    assert_eq!(labels("2025-01..2025-06/2"), ["2025-01", "2025-03", "2025-05"]);
}

#[test]
fn what_is_no_moment_says_why_and_shows_examples() {
    let table = [
        ("2025-13", "\"2025-13\" is not a moment: expected a month from 01 to 12, found 13"),
        ("2025-02-30", "\"2025-02-30\" is not a moment: 2025-02 has no day 30"),
        ("2025-Q5", "\"2025-Q5\" is not a moment: expected a quarter from Q1 to Q4, found Q5"),
        ("yesterday", "\"yesterday\" is not a moment: expected a day, a period or an instant"),
        ("", "\"\" is not a moment: expected a day, a period or an instant"),
        ("31.12.2025", "\"31.12.2025\" is not a moment: expected a day, a period or an instant"),
        ("1500", "\"1500\" is not a moment: it is outside the years 1677 to 2262"),
        ("9999-12-31", "\"9999-12-31\" is not a moment: it is outside the years 1677 to 2262"),
        ("2025-12..2025-01", "\"2025-12..2025-01\" is not a moment: the range ends before it begins"),
        (
            "2025-01..2025-Q4",
            "\"2025-01..2025-Q4\" is not a moment: a range goes from one month to another, found a quarter",
        ),
        (
            "1700-01-01..2200-01-01",
            "\"1700-01-01..2200-01-01\" is not a moment: it names more than 10000 moments",
        ),
        ("FY2025", "\"FY2025\" is not a moment: the plan does not say when a fiscal year begins"),
    ];
    for (when, expected) in table {
        assert_eq!(shown(when, &Calendar::UTC), expected);
        assert!(!hint(when, &Calendar::UTC).is_empty());
    }
    assert!(Moment::parse_one("last-month-end", &BERLIN).is_err());
}
