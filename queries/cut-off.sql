-- Which entries near the period end have their dates on different sides of it?
--
--   ${journal} = journal_lines     the dataset
--   ${document_date} = posted_on   its date of the document or posting
--   ${amount} = amount             its amounts
--   $span = '5d'                   how far either side of the as-of to look: days as '5d', weeks as '1w'
--
-- finding        late: dated in the period, committed after it; early: dated after it, committed in it;
--                effective: its posting date as the ledger has it lies on the other side of its document date
-- sequence, op, key, actor, transaction, committed_local  the change, its time on the clocks of the plan's zone
-- document_date, effective_at  as recorded; effective_at only for ledgers of postings
-- amount         the amount that it entered
--
-- Looks at entries (inserts) whose document date or commit lies within the span. Run it with the
-- period end as --as-of: what is undone was committed behind it.
WITH entries AS (
    SELECT sequence, op, key, actor, transaction, committed_local, effective_at, undone,
           "after_${document_date}" AS document_date, "after_${amount}" AS amount,
           CAST(committed_local AS DATE) AS committed_on, CAST(effective_at AS DATE) AS effective_on
    FROM "${journal}__changes"
    WHERE op IN ('insert', 'upsert')
),
near AS (
    SELECT * FROM entries
    WHERE (document_date >= DATE($as_of_day) - INTERVAL $span
           AND document_date <= DATE($as_of_day) + INTERVAL $span)
       OR (committed_on >= DATE($as_of_day) - INTERVAL $span
           AND committed_on <= DATE($as_of_day) + INTERVAL $span)
),
judged AS (
    SELECT CASE
             WHEN undone AND document_date <= DATE($as_of_day) THEN 'late'
             WHEN NOT undone AND document_date > DATE($as_of_day) THEN 'early'
             WHEN effective_on > DATE($as_of_day) AND document_date <= DATE($as_of_day) THEN 'effective'
             WHEN effective_on <= DATE($as_of_day) AND document_date > DATE($as_of_day) THEN 'effective'
           END AS finding,
           sequence, op, key, actor, transaction, committed_local, document_date, effective_at, amount
    FROM near
)
SELECT * FROM judged WHERE finding IS NOT NULL ORDER BY sequence
