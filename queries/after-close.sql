-- Who changed what after the close, in rows that belong to the closed period?
--
--   ${table} = journal_lines   the dataset
--   ${date} = posted_on        its date that says to which period a row belongs
--   ${amount} = amount         its amounts
--
-- sequence, committed_local, actor, transaction, op, key  the change, its time on the clocks of the plan's zone
-- dated_before, dated_after    the row's date before and after
-- amount_before, amount_after  its amount before and after; a side that does not exist is empty
-- file, record   where the ledger says so
--
-- Run it with the close as --as-of: what is undone was committed behind it. A row belongs to the
-- closed period if it is dated in it before or after the change.
SELECT sequence, committed_local, actor, transaction, op, key,
       "before_${date}" AS dated_before, "after_${date}" AS dated_after,
       "before_${amount}" AS amount_before, "after_${amount}" AS amount_after, file, record
FROM "${table}__changes"
WHERE undone
  AND ("before_${date}" <= DATE($as_of_day) OR "after_${date}" <= DATE($as_of_day))
ORDER BY sequence
