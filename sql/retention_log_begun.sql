-- Steps of a plan whose real run was begun.
SELECT DISTINCT step FROM {database:Identifier}.retention_log WHERE event = 'begun' AND plan_id = {plan_id:String}
