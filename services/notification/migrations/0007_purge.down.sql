DROP INDEX phone_codes_age;
DROP INDEX messages_waiting;
