-- Whether the server answers, as this user.
SELECT 1 AS answers
