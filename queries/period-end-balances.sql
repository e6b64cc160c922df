-- What were the balances at the period end, by group, and how do they differ from the extract of today?
--
--   ${table} = accounts     the dataset
--   ${group} = currency     the column whose values are the groups
--   ${balance} = balance    the column to add up
--
-- group_value    the group
-- rows_then, balance_then  as of the period end (--as-of)
-- rows_now, balance_now    in the current state as delivered
-- moved          balance_now − balance_then: what was rolled back, see `asof bridge` for the reasons
--
-- A group that exists on one side only has nothing on the other.
WITH then_ AS (
    SELECT "${group}" AS group_value, COUNT(*) AS rows_then, SUM("${balance}") AS balance_then
    FROM "${table}" GROUP BY "${group}"
),
now_ AS (
    SELECT "${group}" AS group_value, COUNT(*) AS rows_now, SUM("${balance}") AS balance_now
    FROM "${table}__current" GROUP BY "${group}"
),
both_ AS (
    SELECT group_value FROM then_ UNION SELECT group_value FROM now_
)
SELECT both_.group_value, then_.rows_then, then_.balance_then, now_.rows_now, now_.balance_now,
       COALESCE(now_.balance_now, then_.balance_then - then_.balance_then)
           - COALESCE(then_.balance_then, now_.balance_now - now_.balance_now) AS moved
FROM both_
LEFT JOIN then_ ON both_.group_value = then_.group_value
LEFT JOIN now_ ON both_.group_value = now_.group_value
ORDER BY both_.group_value
