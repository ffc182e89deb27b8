import duckdb
import fsspec
import pandas
import polars

table = pandas.DataFrame({"city": ["Oslo", "Lima"], "visits": [3, 5]})
table.to_csv("agentfs://ada/tables/visits.csv", index=False)
print(pandas.read_csv("agentfs://ada/tables/visits.csv")["visits"].sum())

duckdb.register_filesystem(fsspec.filesystem("agentfs"))
print(duckdb.sql("SELECT city FROM 'agentfs://ada/tables/*.csv' WHERE visits > 4").fetchall())

with fsspec.open("agentfs://ada/tables/visits.csv") as file:
    visits = polars.read_csv(file)
with fsspec.open("agentfs://ada/tables/visits.parquet", "wb") as file:
    visits.write_parquet(file)
with fsspec.open("agentfs://ada/tables/visits.parquet") as file:
    print(polars.read_parquet(file)["visits"].max())
