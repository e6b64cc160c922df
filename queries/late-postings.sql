-- What was posted into closed periods after they were closed, and by how much did it move each of them?
--
--   ${journal} = journal_lines     the dataset
--   ${document_date} = posted_on   its date of the document or posting
--   ${account} = ledger_account    its column of accounts
--   ${amount} = amount             its amounts
--
-- period         month of the document date, all of them closed at the as-of
-- account        the account
-- changes        how many changes were committed after the close and touch the period
-- first_at, last_at  when the first and the last of them were committed, on the clocks of the plan's zone
-- actors         how many different people made them
-- added, removed what they put into the period and took out of it
-- effect         added − removed: by how much the period's figure has moved since the close
--
-- Run it with the close as --as-of. A change that moves a line from one period or account to another
-- takes it out of the one and puts it into the other. An amount less itself is a zero of its own type.
WITH after_close AS (
    SELECT * FROM "${journal}__changes" WHERE undone
),
moves AS (
    SELECT sequence, actor, committed_local, "after_${document_date}" AS dated, "after_${account}" AS account,
           "after_${amount}" AS added, "after_${amount}" - "after_${amount}" AS removed
    FROM after_close WHERE "after_${document_date}" IS NOT NULL
    UNION ALL
    SELECT sequence, actor, committed_local, "before_${document_date}" AS dated, "before_${account}" AS account,
           "before_${amount}" - "before_${amount}" AS added, "before_${amount}" AS removed
    FROM after_close WHERE "before_${document_date}" IS NOT NULL
)
SELECT STRFTIME(dated, '%Y-%m') AS period, account, COUNT(DISTINCT sequence) AS changes,
       MIN(committed_local) AS first_at, MAX(committed_local) AS last_at, COUNT(DISTINCT actor) AS actors,
       SUM(added) AS added, SUM(removed) AS removed, SUM(added) - SUM(removed) AS effect
FROM moves
WHERE dated <= DATE($as_of_day)
GROUP BY STRFTIME(dated, '%Y-%m'), account
ORDER BY period, account
