-- What a macro of the server stands for.
SELECT getMacro({macro:String}) AS written
