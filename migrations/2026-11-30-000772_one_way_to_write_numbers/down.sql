-- Both ways to write a number mean the same person: there is nothing to take back.
SELECT 1;
