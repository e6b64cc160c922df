-- Does the journal balance at the as-of, account by account, and does it tie to the control totals?
--
--   ${journal} = journal_lines   the dataset of journal lines; its group_by must be the account
--   ${account} = ledger_account  its column of accounts
--   ${amount} = amount           its signed amounts: debits above zero, credits below
--   $scale = 2                   how many decimals they have
--
-- account        the account; TOTAL for all together, which must come to zero
-- lines          how many lines are on it
-- debits         sum of the amounts above zero
-- credits        sum of the amounts below zero
-- balance        debits + credits
-- control        what the program's own arithmetic says, current − inserts + deletes + updates
-- difference     balance − control; anything but zero means that one of the two is wrong
--
-- Sums of decimals are exact. Polars SQL has no GROUPING SETS, so the total is a second SELECT.
WITH lines AS (
    SELECT "${account}" AS account, "${amount}" AS amount FROM "${journal}"
),
sums AS (
    SELECT account, COUNT(*) AS lines, SUM(CASE WHEN amount > 0 THEN amount END) AS debits,
           SUM(CASE WHEN amount < 0 THEN amount END) AS credits, SUM(amount) AS balance
    FROM lines GROUP BY account
    UNION ALL
    SELECT 'TOTAL' AS account, COUNT(*) AS lines, SUM(CASE WHEN amount > 0 THEN amount END) AS debits,
           SUM(CASE WHEN amount < 0 THEN amount END) AS credits, SUM(amount) AS balance
    FROM lines
),
control AS (
    SELECT COALESCE(REPLACE("group", CONCAT($account, '='), ''), 'TOTAL') AS account,
           CAST(snapshot AS DECIMAL(38, $scale)) AS control
    FROM totals
    WHERE dataset = $journal AND figure = 'measure' AND measure = $amount
)
SELECT sums.account, sums.lines, sums.debits, sums.credits, sums.balance, control.control,
       sums.balance - control.control AS difference
FROM sums LEFT JOIN control ON sums.account = control.account
ORDER BY sums.account
