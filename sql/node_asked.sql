-- The node that answers.
SELECT concat(hostName(), ':', toString(tcpPort())) AS node
