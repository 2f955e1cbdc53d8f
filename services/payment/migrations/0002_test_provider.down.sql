DROP SCHEMA test_provider CASCADE;
