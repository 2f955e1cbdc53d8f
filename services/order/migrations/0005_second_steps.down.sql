DROP TABLE second_steps;
