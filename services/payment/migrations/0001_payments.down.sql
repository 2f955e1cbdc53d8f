DROP TABLE refunds, payments;
