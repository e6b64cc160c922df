-- How old were the items that were open at the as-of, and how much was open in each age?
--
--   ${items} = invoices         the dataset of items
--   ${due} = due_on             its date from which an item ages
--   ${amount} = amount          what was invoiced
--   ${paid} = paid              what was paid of it; null counts as nothing
--   ${status} = status          the column that says whether an item is open
--   $open = 'open'              its word for open
--
-- age            0 not due, 1 up to 30 days past due, 2 up to 60, 3 up to 90, 4 more than 90
-- items          how many items
-- oldest_due     the earliest due date among them
-- invoiced, paid_so_far, outstanding   exact sums; outstanding = invoiced − paid_so_far
--
-- Days are counted from the as-of's own day ($as_of_day). Polars SQL subtracts no dates as days, so
-- the ages are compared as dates.
WITH aged AS (
    SELECT CASE
             WHEN "${due}" >= DATE($as_of_day) THEN 0
             WHEN "${due}" >= DATE($as_of_day) - INTERVAL '30d' THEN 1
             WHEN "${due}" >= DATE($as_of_day) - INTERVAL '60d' THEN 2
             WHEN "${due}" >= DATE($as_of_day) - INTERVAL '90d' THEN 3
             ELSE 4
           END AS age,
           "${due}" AS due, "${amount}" AS amount,
           COALESCE("${paid}", "${amount}" - "${amount}") AS paid
    FROM "${items}"
    WHERE "${status}" = $open
)
SELECT age, COUNT(*) AS items, MIN(due) AS oldest_due, SUM(amount) AS invoiced, SUM(paid) AS paid_so_far,
       SUM(amount) - SUM(paid) AS outstanding
FROM aged
GROUP BY age
ORDER BY age
