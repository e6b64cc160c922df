-- Which entries near the period end have their dates on different sides of it?
--
--   ${journal} = journal_lines     the dataset
--   ${date} = after_posted_on      its date of the document or posting, as a column of the changes; of a ledger of
--                                  postings: effective_local
--   ${amount} = amount             its amounts
--   $span = '5d'                   how far either side of the as-of to look: days as '5d', weeks as '1w'
--
-- finding        late: dated in the period, committed after it; early: dated after it, committed in it
-- sequence, op, key, actor, transaction, committed_local  the change, its time on the clocks of the plan's zone
-- dated_on       as recorded, in the plan's zone
-- amount         the amount that it entered
--
-- Looks at entries (inserts, and every posting) whose date or commit lies within the span. Run it with the period end as
-- --as-of. Of rows with images, what is undone was committed behind it; postings are cut by their posting date, so of them the
-- day of the commit decides.
WITH entries AS (
    SELECT sequence, op, key, actor, transaction, committed_local,
           CAST("${date}" AS DATE) AS dated_on,
           CAST(committed_local AS DATE) AS committed_on,
           CASE WHEN effective_at IS NULL THEN undone
                ELSE CAST(committed_local AS DATE) > DATE($as_of_day) END AS is_behind,
           CASE WHEN op = 'update' THEN "after_${amount}" - "before_${amount}" ELSE "after_${amount}" END AS amount
    FROM "${journal}__changes"
    WHERE op IN ('insert', 'upsert') OR effective_at IS NOT NULL
),
near AS (
    SELECT * FROM entries
    WHERE (dated_on >= DATE($as_of_day) - INTERVAL $span
           AND dated_on <= DATE($as_of_day) + INTERVAL $span)
       OR (committed_on >= DATE($as_of_day) - INTERVAL $span
           AND committed_on <= DATE($as_of_day) + INTERVAL $span)
),
judged AS (
    SELECT CASE
             WHEN is_behind AND dated_on <= DATE($as_of_day) THEN 'late'
             WHEN NOT is_behind AND dated_on > DATE($as_of_day) THEN 'early'
           END AS finding,
           sequence, op, key, actor, transaction, committed_local, dated_on, amount
    FROM near
)
SELECT * FROM judged WHERE finding IS NOT NULL ORDER BY sequence
