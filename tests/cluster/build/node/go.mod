module agentfs.io/tests/cluster/build/node

go 1.21
