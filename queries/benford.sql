-- Do the first digits of amounts occur as often as in numbers that grew by themselves (Benford's law)?
--
--   ${table} = payments    the dataset
--   ${amount} = amount     its amounts; zeros and nulls have no first digit and are left out
--
-- digit          the first digit that is not zero
-- found          how many amounts begin with it
-- share          found / all
-- expected       log10(1 + 1 / digit)
-- difference     share − expected
-- chi2           its part of the chi-squared statistic with 8 degrees of freedom; a sum above 15.51
--                occurs by chance in one of twenty such populations, above 20.09 in one of a hundred
--
-- Shares and logarithms are floats, as they are no amounts: an indication and no proof.
WITH digits AS (
    SELECT CAST(LEFT(LTRIM(CAST(ABS("${amount}") AS VARCHAR), '0.'), 1) AS BIGINT) AS digit
    FROM "${table}" WHERE "${amount}" IS NOT NULL AND "${amount}" <> 0
),
counted AS (SELECT digit, COUNT(*) AS found FROM digits GROUP BY digit),
everything AS (SELECT COUNT(*) AS total FROM digits)
SELECT digit, found,
       ROUND(CAST(found AS DOUBLE) / total, 4) AS share,
       ROUND(LOG10(1.0 + 1.0 / digit), 4) AS expected,
       ROUND(CAST(found AS DOUBLE) / total - LOG10(1.0 + 1.0 / digit), 4) AS difference,
       ROUND(POW(CAST(found AS DOUBLE) - total * LOG10(1.0 + 1.0 / digit), 2) / (total * LOG10(1.0 + 1.0 / digit)), 2) AS chi2
FROM counted CROSS JOIN everything
ORDER BY digit
