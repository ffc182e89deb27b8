import duckdb
import fsspec
import pandas

table = pandas.DataFrame({"city": ["Oslo", "Lima"], "visits": [3, 5]})
table.to_csv("agentfs://ada/tables/visits.csv", index=False)
print(pandas.read_csv("agentfs://ada/tables/visits.csv")["visits"].sum())

duckdb.register_filesystem(fsspec.filesystem("agentfs"))
print(duckdb.sql("SELECT city FROM 'agentfs://ada/tables/*.csv' WHERE visits > 4").fetchall())
