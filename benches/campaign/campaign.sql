-- The campaign $1 that every peer sends: $2 recipients, two of three of them customers that the CRM knows.
-- $3, $4, $5: its templates. $6: its name. $7: the organization.
WITH campaign AS (
    INSERT INTO campaigns (id, organization_id, name, status, transactional, from_address, reply_to, subject, html, text,
                           variables, created_by)
    VALUES ($1::uuid, $7::uuid, $6::text, 'sending', true,
            'Kaffa Coffee <news@kaffa.example>', ARRAY['hello@kaffa.example'], $3::text, $4::text, $5::text,
            '{"shop": "Kaffa Coffee & Co.", "accent": "#9c4221",
              "products": [{"name": "Yirgacheffe", "price": "14.50", "path": "yirgacheffe"},
                           {"name": "Huila & friends", "price": "12.00", "path": "huila"},
                           {"name": "Sidama <natural>", "price": "16.90", "path": "sidama"}]}', '0f8fad5b-d9cb-469f-a165-70867728950e')
    RETURNING id, organization_id
)
INSERT INTO campaign_recipients (campaign_id, organization_id, customer_id, email, name, variables)
SELECT c.id, c.organization_id, CASE WHEN n % 3 > 0 THEN gen_random_uuid() END,
       'reader' || n || '@example.com',
       (ARRAY['Zoë Müller', 'Ann & Sons', NULL, 'Bob <Tables>', '山田 花子', 'João Ávila'])[n % 6 + 1],
       jsonb_build_object('points', n % 900 + 10, 'favourite', 'Yirgacheffe <natural>',
                          'coupon', 'SPRING-' || lpad(n::text, 8, '0'))
  FROM campaign AS c, generate_series(1, $2::int) AS n ORDER BY n
