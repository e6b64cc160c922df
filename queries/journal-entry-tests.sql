-- Which journal entries deserve a look, by the usual criteria, and is the population complete?
--
--   ${journal} = journal_lines     the dataset
--   ${document_date} = posted_on   its date of the document or posting
--   ${account} = ledger_account    its column of accounts
--   ${amount} = amount             its amounts
--   ${text} = memo                 its description
--   $night_from = 22               hour from which it is night
--   $night_to = 6                  hour at which the day begins
--   $round = '000.00'              what a round amount ends in
--   $ending = 4                    how many last characters of an amount are its ending
--   $repeats = 12                  an ending that occurs so often is told
--   $seldom = 10                   an account with at most so many lines is seldom used
--   $user_lines = 10               a user with at most so many lines is unusual
--
-- test           0 population: the proof below; then one row per line and criterion that it meets:
--                1 weekend, 2 night, 3 round amount, 4 repeated ending, 5 seldom used account,
--                6 unusual user, 7 no description, 8 after close
-- sequence, key, account, amount, actor, committed_local, document_date, text  the line as it was entered
--
-- The population is every line that the ledger saw entered up to the as-of. It is complete if the
-- three parts of `text` in row 0 agree: lines in the snapshot, lines by the control totals, and no open
-- discrepancy of severity error on the dataset. Anything else says NOT PROVEN: then the tests
-- below are of what is there, and no more. Lines after the close are those committed behind the
-- as-of and dated before it. Amounts are compared as texts, as Polars SQL divides no decimals exactly.
WITH entered AS (
    SELECT sequence, undone, key, actor, committed_local, "after_${document_date}" AS document_date,
           "after_${account}" AS account, "after_${amount}" AS amount, "after_${text}" AS text,
           CAST("after_${amount}" AS VARCHAR) AS written
    FROM "${journal}__changes"
    WHERE op IN ('insert', 'upsert')
),
lines AS (SELECT * FROM entered WHERE NOT undone),
endings AS (
    SELECT RIGHT(written, $ending) AS ending, COUNT(*) AS times FROM lines
    GROUP BY RIGHT(written, $ending) HAVING COUNT(*) >= $repeats
),
seldom AS (SELECT account AS rare, COUNT(*) AS times FROM lines GROUP BY account HAVING COUNT(*) <= $seldom),
unusual AS (SELECT actor AS rare, COUNT(*) AS times FROM lines GROUP BY actor HAVING COUNT(*) <= $user_lines),
found AS (
    SELECT '1 weekend' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines WHERE EXTRACT(isodow FROM committed_local) >= 6
    UNION ALL
    SELECT '2 night' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines WHERE EXTRACT(hour FROM committed_local) >= $night_from OR EXTRACT(hour FROM committed_local) < $night_to
    UNION ALL
    SELECT '3 round amount' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines WHERE ENDS_WITH(written, $round)
    UNION ALL
    SELECT '4 repeated ending' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines JOIN endings ON RIGHT(lines.written, $ending) = endings.ending
    UNION ALL
    SELECT '5 seldom used account' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines JOIN seldom ON lines.account = seldom.rare
    UNION ALL
    SELECT '6 unusual user' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines JOIN unusual ON lines.actor = unusual.rare
    UNION ALL
    SELECT '7 no description' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM lines WHERE text IS NULL OR LENGTH(LTRIM(text)) = 0
    UNION ALL
    SELECT '8 after close' AS test, sequence, key, account, amount, actor, committed_local, document_date, text
    FROM entered WHERE undone AND document_date <= DATE($as_of_day)
),
counted AS (SELECT COUNT(*) AS snapshot_lines, SUM("${amount}") AS amount FROM "${journal}"),
control AS (SELECT snapshot AS control_lines FROM totals WHERE dataset = $journal AND figure = 'rows' AND "group" IS NULL),
broken AS (
    SELECT COUNT(*) AS errors FROM discrepancies
    WHERE dataset = $journal AND severity = 'error' AND accepted IS NULL
),
population AS (
    SELECT '0 population' AS test, amount,
           CONCAT(
             CASE WHEN CAST(snapshot_lines AS VARCHAR) = control_lines AND errors = 0 THEN 'complete' ELSE 'NOT PROVEN' END,
             ': ', CAST(snapshot_lines AS VARCHAR), ' lines in the snapshot, ', control_lines,
             ' by the control totals, ', CAST(errors AS VARCHAR), ' open errors'
           ) AS text
    FROM counted CROSS JOIN control CROSS JOIN broken
)
SELECT test, CAST(NULL AS BIGINT) AS sequence, CAST(NULL AS VARCHAR) AS key, CAST(NULL AS VARCHAR) AS account,
       amount, CAST(NULL AS VARCHAR) AS actor, CAST(NULL AS TIMESTAMP) AS committed_local,
       CAST(NULL AS DATE) AS document_date, text
FROM population
UNION ALL
SELECT test, CAST(sequence AS BIGINT) AS sequence, key, account, amount, actor, CAST(committed_local AS TIMESTAMP) AS committed_local,
       document_date, text
FROM found
ORDER BY test, sequence
