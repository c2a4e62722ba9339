-- How many different keys of a copied LMS table fall into each bucket of their positions, and the sum of these.
SELECT intDiv(toInt64(place), {width:UInt32}) AS bucket, count(), sum(toInt64(place))
FROM
(
    SELECT {key:Identifier} AS found, max({position:Identifier}) AS place
    FROM {database:Identifier}.{table:Identifier}
    GROUP BY found
)
GROUP BY bucket
ORDER BY bucket
