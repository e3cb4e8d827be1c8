SELECT s.staff_id, s.first_name, s.last_name, d.department_name, d.location, s.email_address
FROM staff s
LEFT JOIN department d ON d.department_id = s.department_id
